//! What an intake has asked the publisher for: publications on their way, their answers, and those to be tried again.

use super::Surroundings;
use crate::clock::Clock;
use crate::handler::{IfRefused, Plan};
use crate::ledger::{Event, Ticket};
use crate::message::{Delivery, Publication};
use crate::publisher::{Answer, Published, Publisher, Request};
use crate::recall::{Note, Recall};
use crossbeam_channel::{Receiver, Sender};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// On their way at once.
const ON_THEIR_WAY: usize = 1024;

/// Nothing was answered for so long: the broker is in an alarm, or not there.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Publishing {
    publisher: Publisher,
    clock: Clock,
    recall: Recall,
    queue: Arc<str>,
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
    /// When the last answer came, or what is open was begun.
    answered: Instant,
    /// How many moves were refused and have not been taken since.
    held_up: usize,
    last_refusal: Option<Obstacle>,
}

/// Why nothing leaves by publishing at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A queue takes no more, or nothing gets beyond an exchange.
    Refused { place: String, reason: String },
    /// The broker does not answer.
    Unanswered,
}

/// A message whose publications were not all taken, and that does not wait until they are.
pub(super) struct Refused {
    pub delivery: Delivery,
    pub reason: String,
    pub then: IfRefused,
}

struct Move {
    publications: Vec<Arc<Publication>>,
    delivery: Delivery,
    unanswered: usize,
    refusal: Option<String>,
    if_refused: IfRefused,
    was_refused: bool,
    note: Arc<Note>,
}

impl Publishing {
    pub fn new(around: &Surroundings, queue: Arc<str>) -> Self {
        // Bounded by what fills it: never more than are on their way. A bound of its own would keep room for all of them, on each
        // of many queues.
        let (reply, answers) = crossbeam_channel::unbounded();
        Publishing {
            publisher: around.publisher.clone(),
            recall: around.recall.clone(),
            queue,
            answered: around.clock.now(),
            held_up: 0,
            last_refusal: None,
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
        if self.moves.is_empty() {
            self.answered = self.clock.now();
        }
        let note = self.recall.note(&self.queue, delivery, plan.publications.len());
        let publications: Vec<_> = plan.publications.into_iter().map(Arc::new).collect();
        self.unsent.extend((0..publications.len()).map(|part| (ticket, part)));
        let delivery = delivery.clone();
        let unanswered = publications.len();
        let if_refused = plan.if_refused;
        let of = Move { publications, delivery, unanswered, refusal: None, if_refused, was_refused: false, note };
        self.moves.insert(ticket.tag, of);
    }

    /// Hands over what the publisher has room for.
    pub fn submit(&mut self) {
        while self.on_their_way < ON_THEIR_WAY {
            let Some((ticket, part)) = self.unsent.pop_front() else { return };
            let Some(of) = self.moves.get(&ticket.tag) else { continue };
            let publication = of.publications[part].clone();
            let (reply, wanted, note) = (self.reply.clone(), self.wanted.clone(), Some(of.note.clone()));
            let request = Request { publication, ticket, part, reply, wanted, losses: 0, note };
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

    /// What the answers mean for the ledger, and which messages are to be decided about again.
    pub fn answers(&mut self) -> (Vec<Event>, Vec<Refused>) {
        let (mut events, mut again) = (Vec::new(), Vec::new());
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend(self.answers.try_iter());
        if !kept.is_empty() {
            self.answered = self.clock.now();
        }
        for published in kept {
            self.on_their_way -= 1;
            let ticket = published.ticket;
            let Some(of) = self.moves.get_mut(&ticket.tag) else { continue };
            match published.answer {
                Answer::Taken => {
                    of.unanswered -= 1;
                    self.held_up -= usize::from(std::mem::take(&mut of.was_refused));
                    if self.held_up == 0 {
                        self.delay = FIRST_DELAY;
                    }
                    events.push(Event::Confirmed { ticket });
                }
                Answer::Refused(reason) if of.if_refused != IfRefused::TryAgain => {
                    of.unanswered -= 1;
                    of.refusal = Some(reason);
                }
                // Our own move of a message: the original stays unsettled until its copy is safe.
                Answer::Refused(reason) => {
                    self.held_up += usize::from(!std::mem::replace(&mut of.was_refused, true));
                    let Publication { exchange, routing_key, .. } = &*of.publications[published.part];
                    let place = if exchange.is_empty() { routing_key } else { exchange }.clone();
                    self.last_refusal = Some(Obstacle::Refused { place, reason });
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
                match done.refusal {
                    None => done.note.settled(),
                    Some(reason) => {
                        events.push(Event::Refused { ticket });
                        again.push(Refused { delivery: done.delivery, reason, then: done.if_refused });
                    }
                }
            }
        }
        (events, again)
    }

    /// What is in the way of publishing, if anything is.
    pub fn obstacle(&self) -> Option<Obstacle> {
        if self.held_up > 0 {
            return self.last_refusal.clone();
        }
        let is_late = || self.clock.now().saturating_duration_since(self.answered) > PATIENCE;
        (!self.moves.is_empty() && is_late()).then_some(Obstacle::Unanswered)
    }

    /// Whether something waits for an answer.
    pub fn is_waiting(&self) -> bool {
        !self.moves.is_empty()
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
        let refused: Vec<_> = std::mem::take(&mut self.refused).into_iter().map(|(ticket, _)| ticket).collect();
        self.held_up -= refused.len();
        refused.iter().for_each(|ticket| drop(self.moves.remove(&ticket.tag)));
        refused
    }

    /// The epoch is over: what is not yet on its way stays unpublished, because its original comes again; what is, is remembered.
    pub fn abandon(&self) {
        self.wanted.store(false, Ordering::Release);
        self.moves.values().for_each(|of| of.note.will_come_again());
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
