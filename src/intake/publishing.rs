//! What an intake has asked the publisher for: publications on their way, their answers, and those to be tried again.

use super::Surroundings;
use crate::handler::Plan;
use crate::ledger::{Event, Ticket};
use crate::message::{Delivery, Publication};
use crate::publisher::{Answer, Published, Publisher, Request};
use crossbeam_channel::{Receiver, Sender};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// On their way at once; the channel for the answers has room for all of them, so that the publisher never waits for us.
const ON_THEIR_WAY: usize = 1024;

pub(super) struct Publishing {
    publisher: Publisher,
    clock: crate::clock::Clock,
    moves: HashMap<u64, Move>,
    unsent: VecDeque<(Ticket, usize)>,
    on_their_way: usize,
    reply: Sender<Published>,
    answers: Receiver<Published>,
    kept: Vec<Published>,
    /// Refused, to be tried again when the alarm rings.
    refused: Vec<(Ticket, usize)>,
    alarm: Receiver<Instant>,
    delay: Duration,
    wanted: Arc<AtomicBool>,
}

struct Move {
    publications: Vec<Arc<Publication>>,
    delivery: Delivery,
    unanswered: usize,
    refusal: Option<String>,
    published_by_handler: bool,
}

impl Publishing {
    pub fn new(around: &Surroundings) -> Self {
        let (reply, answers) = crossbeam_channel::bounded(ON_THEIR_WAY);
        Publishing {
            publisher: around.publisher.clone(),
            clock: around.clock.clone(),
            moves: HashMap::new(),
            unsent: VecDeque::new(),
            on_their_way: 0,
            reply,
            answers,
            kept: Vec::new(),
            refused: Vec::new(),
            alarm: crossbeam_channel::never(),
            delay: FIRST_DELAY,
            wanted: Arc::new(AtomicBool::new(true)),
        }
    }

    pub fn begin(&mut self, ticket: Ticket, delivery: &Delivery, plan: Plan) {
        if plan.publications.is_empty() {
            return;
        }
        let publications: Vec<_> = plan.publications.into_iter().map(Arc::new).collect();
        self.unsent.extend((0..publications.len()).map(|part| (ticket, part)));
        let delivery = delivery.clone();
        let unanswered = publications.len();
        let published_by_handler = plan.published_by_handler;
        self.moves.insert(ticket.tag, Move { publications, delivery, unanswered, refusal: None, published_by_handler });
    }

    /// Hands over what the publisher has room for.
    pub fn submit(&mut self) {
        while self.on_their_way < ON_THEIR_WAY {
            let Some((ticket, part)) = self.unsent.pop_front() else { return };
            let Some(of) = self.moves.get(&ticket.tag) else { continue };
            let publication = of.publications[part].clone();
            let request =
                Request { publication, ticket, part, reply: self.reply.clone(), wanted: self.wanted.clone(), losses: 0 };
            if self.publisher.submit(request).is_err() {
                return self.unsent.push_front((ticket, part));
            }
            self.on_their_way += 1;
        }
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() && self.on_their_way < ON_THEIR_WAY
    }

    pub fn receiver(&self) -> &Receiver<Published> {
        &self.answers
    }

    /// Keeps an answer that was read elsewhere for the next [`answers`](Publishing::answers).
    pub fn keep(&mut self, published: Published) {
        self.kept.push(published);
    }

    /// What the answers mean for the ledger, and which messages their handlers must answer for again.
    pub fn answers(&mut self) -> (Vec<Event>, Vec<(Delivery, String)>) {
        let (mut events, mut again) = (Vec::new(), Vec::new());
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend(self.answers.try_iter());
        for published in kept {
            self.on_their_way -= 1;
            let ticket = published.ticket;
            let Some(of) = self.moves.get_mut(&ticket.tag) else { continue };
            match published.answer {
                Answer::Taken => {
                    of.unanswered -= 1;
                    if self.refused.is_empty() {
                        self.delay = FIRST_DELAY;
                    }
                    events.push(Event::Confirmed { ticket });
                }
                Answer::Refused(reason) if of.published_by_handler => {
                    of.unanswered -= 1;
                    of.refusal = Some(reason);
                }
                // Our own move of a message: the original stays unsettled until its copy is safe.
                Answer::Refused(reason) => {
                    let to = &of.publications[published.part].routing_key;
                    log::warn!(
                        "`{to}` does not take a message ({reason}); it stays on its queue, unsettled, and is tried again"
                    );
                    self.refused.push((ticket, published.part));
                    if self.refused.len() == 1 {
                        self.alarm = self.clock.after(self.delay);
                        self.delay = (self.delay * 2).min(LONGEST_DELAY);
                    }
                }
            }
            // Only when all are answered: a late confirm must not count for what is decided next.
            if of.unanswered == 0 {
                let done = self.moves.remove(&ticket.tag).expect("it was found above");
                if let Some(reason) = done.refusal {
                    events.push(Event::Refused { ticket });
                    again.push((done.delivery, format!("what the handler published was not taken: {reason}")));
                }
            }
        }
        (events, again)
    }

    /// Rings when refused moves are due again.
    pub fn next_try(&self) -> Receiver<Instant> {
        self.alarm.clone()
    }

    pub fn try_again(&mut self) {
        self.alarm = crossbeam_channel::never();
        self.unsent.extend(self.refused.drain(..));
    }

    /// Gives up moves that were refused and wait to be tried again; answers whose.
    pub fn give_up_refused(&mut self) -> Vec<Ticket> {
        self.alarm = crossbeam_channel::never();
        // A move of ours is one publication, so whatever was refused is all there is of it.
        let refused = std::mem::take(&mut self.refused).into_iter().map(|(ticket, _)| ticket);
        refused.inspect(|ticket| drop(self.moves.remove(&ticket.tag))).collect()
    }

    /// The epoch is over: what is not yet on its way stays unpublished, because its original comes again.
    pub fn abandon(&self) {
        self.wanted.store(false, Ordering::Release);
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
