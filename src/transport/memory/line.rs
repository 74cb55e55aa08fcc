//! The consumers of a queue in line: whose turn it is to get a message.

/// The line. Who has just got a message goes behind those of the same priority; so does who had no room, when it has again.
pub(super) struct Line {
    turns: Vec<Turn>,
    rule: Rule,
    /// The one that gets everything, where only one may.
    active: Option<u64>,
}

/// Who gets messages, and who is next where only one does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    InTurn,
    /// A single active consumer; then the first in line, by priority.
    OneByPriority,
    /// A single active consumer; then whoever came first, whatever its priority: quorum queues up to RabbitMQ 3.x.
    OneByAge,
}

struct Turn {
    channel: u64,
    priority: i64,
    /// It was its turn, and it had no room.
    was_passed_over: bool,
}

impl Line {
    pub fn new(rule: Rule) -> Self {
        Line { turns: Vec::new(), rule, active: None }
    }

    pub fn len(&self) -> usize {
        self.turns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub fn channels(&self) -> impl Iterator<Item = u64> + '_ {
        self.turns.iter().map(|turn| turn.channel)
    }

    pub fn join(&mut self, channel: u64, priority: i64) {
        self.line_up(Turn { channel, priority, was_passed_over: false });
        if self.active.is_none() {
            self.active = self.successor();
        }
    }

    pub fn leave(&mut self, channel: u64) {
        self.turns.retain(|turn| turn.channel != channel);
        if self.active == Some(channel) {
            self.active = self.successor();
        }
    }

    fn successor(&self) -> Option<u64> {
        match self.rule {
            Rule::InTurn => None,
            Rule::OneByPriority => self.channels().next(),
            // Numbers of channels count up.
            Rule::OneByAge => self.channels().min(),
        }
    }

    /// The first in line that has room, which then goes to the end of the line of its priority.
    pub fn next(&mut self, has_room: impl Fn(u64) -> bool) -> Option<u64> {
        if self.rule != Rule::InTurn {
            return self.active.filter(|active| has_room(*active));
        }
        let place = self.turns.iter().position(|turn| has_room(turn.channel));
        let passed = place.unwrap_or(self.turns.len());
        self.turns[..passed].iter_mut().for_each(|turn| turn.was_passed_over = true);
        let channel = self.turns[place?].channel;
        // Alone, it need not be told from others.
        if self.turns.len() > 1 {
            let turn = self.turns.remove(passed);
            self.line_up(turn);
        }
        Some(channel)
    }

    /// Whoever has room again stands behind the others if it was passed over, or if it left the line on its own.
    pub fn has_room_again(&mut self, channel: u64, had_left: bool) {
        let left = |turn: &Turn| turn.channel == channel && (turn.was_passed_over || had_left);
        if let Some(place) = self.turns.iter().position(left) {
            let turn = self.turns.remove(place);
            self.line_up(Turn { was_passed_over: false, ..turn });
        }
    }

    fn line_up(&mut self, turn: Turn) {
        let place = self.turns.partition_point(|other| other.priority >= turn.priority);
        self.turns.insert(place, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(line: &mut Line, count: usize) -> Vec<u64> {
        (0..count).filter_map(|_| line.next(|_| true)).collect()
    }

    #[test]
    fn those_of_one_priority_take_turns_and_those_of_a_lower_one_wait() {
        let mut line = Line::new(Rule::InTurn);
        for (channel, priority) in [(1, 0), (2, 5), (3, 5)] {
            line.join(channel, priority);
        }
        assert_eq!(turns(&mut line, 4), [2, 3, 2, 3]);
        assert_eq!(line.next(|channel| channel == 1), Some(1));
    }

    #[test]
    fn whoever_was_passed_over_goes_behind_the_others_when_it_has_room() {
        let mut line = Line::new(Rule::InTurn);
        line.join(1, 0);
        line.join(2, 0);
        assert_eq!(line.next(|channel| channel == 2), Some(2));
        line.has_room_again(1, false);
        assert_eq!(turns(&mut line, 2), [2, 1]);
    }

    #[test]
    fn whoever_was_passed_over_alone_goes_behind_those_who_came_since() {
        let mut line = Line::new(Rule::InTurn);
        line.join(1, 0);
        assert_eq!(line.next(|_| false), None);
        line.join(2, 0);
        line.has_room_again(1, false);
        assert_eq!(turns(&mut line, 2), [2, 1]);

        line.leave(2);
        line.has_room_again(1, false);
        line.join(2, 0);
        line.has_room_again(1, false);
        assert_eq!(turns(&mut line, 2), [1, 2]);
    }

    #[test]
    fn a_single_active_consumer_is_followed_by_the_first_in_line_or_by_the_oldest() {
        for (rule, next) in [(Rule::OneByPriority, 3), (Rule::OneByAge, 2)] {
            let mut line = Line::new(rule);
            for (channel, priority) in [(1, 0), (2, 0), (3, 5)] {
                line.join(channel, priority);
            }
            assert_eq!(turns(&mut line, 2), [1, 1]);
            assert_eq!(line.next(|channel| channel != 1), None);
            line.leave(1);
            assert_eq!(line.next(|_| true), Some(next));
        }
    }
}
