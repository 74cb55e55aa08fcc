//! The judge is no use unless it finds what is wrong: each sort of wrong, made up and judged.

use super::*;
use crate::injury::Injury;
use crate::settings::Mix;

/// Ten numbers, confirmed, all of which are to be acked, and each handled once, ten milliseconds apart.
fn good() -> (Settings, Published, Findings) {
    let settings = Settings::new("judged", Kind::Classic, Mix::Acked, 1);
    let mut published = Published::default();
    published.confirmed.push(0..10);
    published.uncertain.push(10..12);
    let entries = (0..10).map(|number| entry(number, 1, Deed::Done, 1_000_000 + number * 10)).collect();
    (settings, published, Findings { entries, ..Findings::default() })
}

fn entry(number: u64, attempt: u32, deed: Deed, at_ms: u64) -> Entry {
    Entry { number, attempt, deed, at_ms, redelivered: false }
}

fn letter(number: u64) -> Letter {
    Letter { number, wrong: None }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Settings, &mut Findings), faults: &[Injected], wanted: &[&str]) -> Verdict {
    let (mut settings, published, mut findings) = good();
    change(&mut settings, &mut findings);
    let verdict = judge(&settings, &published, faults, &findings);
    assert_eq!(verdict.words(10), wanted);
    assert_eq!(verdict.is_good(), wanted.is_empty());
    verdict
}

#[test]
fn what_is_done_once_is_good() {
    let verdict = check(|_, _| {}, &[], &[]);
    assert_eq!((verdict.messages, verdict.uncertain, verdict.duplicated, verdict.repeated), (10, 2, 0, 0));
}

#[test]
fn what_is_nowhere_is_lost_unless_it_may_never_have_come() {
    let gone = |_: &mut Settings, findings: &mut Findings| findings.entries.retain(|entry| entry.number != 3);
    check(gone, &[], &["1 lost: 3"]);
}

#[test]
fn what_failed_and_was_not_seen_again_is_lost_too() {
    check(|_, findings| findings.entries[3].deed = Deed::Failed, &[], &["1 lost: 3"]);
}

#[test]
fn only_what_waited_on_a_classic_queue_when_the_broker_was_killed_is_counted_apart() {
    let failed = |deed| {
        move |_: &mut Settings, findings: &mut Findings| {
            findings.entries[3].deed = deed;
            findings.hops = vec![(1_000_100, 1_000_200)];
        }
    };
    assert_eq!(check(failed(Deed::Failed), &[], &[]).lost_by_hop, [3]);
    let just_back = |_: &mut Settings, findings: &mut Findings| {
        findings.entries[3] = entry(3, 4, Deed::Failed, 1_000_030);
        findings.hops = vec![(1_000_100, 1_000_200)];
    };
    assert_eq!(check(just_back, &[], &[]).lost_by_hop, [3]);
    // One that was not to be retried, or never failed, is not excused.
    check(failed(Deed::Archived), &[], &["1 lost: 3"]);
    let on_quorum = |settings: &mut Settings, findings: &mut Findings| {
        settings.kind = Kind::Quorum;
        failed(Deed::Failed)(settings, findings);
    };
    check(on_quorum, &[], &["1 lost: 3"]);
    let long_before = |settings: &mut Settings, findings: &mut Findings| {
        failed(Deed::Failed)(settings, findings);
        findings.hops = vec![(2_000_000, 2_000_100)];
    };
    check(long_before, &[], &["1 lost: 3"]);
}

#[test]
fn what_is_done_twice_wants_a_fault() {
    let twice = |_: &mut Settings, findings: &mut Findings| findings.entries.push(entry(3, 1, Deed::Done, 1_000_500));
    let fault = |begin_ms| Injected { kind: Injury::Reset, begin_ms, end_ms: begin_ms + 100 };
    let verdict = check(twice, &[], &["1 duplicated without a fault: 3"]);
    assert_eq!((verdict.duplicated, verdict.repeated), (1, 1));
    check(twice, &[fault(1_000_100)], &[]);
    check(twice, &[fault(2_000_000)], &["1 duplicated without a fault: 3"]);
}

#[test]
fn what_is_where_it_should_not_be_is_misplaced() {
    check(|_, findings| findings.archive.push(letter(3)), &[], &["1 misplaced: 3 (1 times Archive and not Done)"]);
    check(|_, findings| findings.dead.push(letter(3)), &[], &["1 misplaced: 3 (1 times Dead and not Done)"]);
    check(|_, findings| findings.dead.push(letter(77)), &[], &["1 misplaced: 77 (nobody published it)"]);
    check(|_, findings| findings.copies.push(letter(3)), &[], &["1 misplaced: 3 (1 copies by its CC)"]);
    check(|_, findings| findings.published.push(letter(3)), &[], &["1 misplaced: 3 (its handler did not publish, and yet)"]);
}

#[test]
fn a_letter_that_was_changed_is_misplaced() {
    let changed = |settings: &mut Settings, findings: &mut Findings| {
        settings.mix = Mix::Archived;
        let wrong = |number| (number == 3).then(|| "its body is another".to_owned());
        findings.archive = (0..10).map(|number| Letter { number, wrong: wrong(number) }).collect();
        findings.entries.clear();
    };
    check(changed, &[], &["1 misplaced: 3 (its body is another)"]);
}

#[test]
fn what_is_left_on_a_queue_is_stuck_and_not_lost() {
    let left = |_: &mut Settings, findings: &mut Findings| {
        findings.entries.remove(3);
        findings.left.push(("judged".to_owned(), 3));
    };
    check(left, &[], &["1 stuck: 3 (judged)"]);
    let unread = |_: &mut Settings, findings: &mut Findings| {
        findings.entries[3].deed = Deed::Failed;
        findings.unread = true;
    };
    check(unread, &[], &["1 stuck: 3 (on its way from a retry queue)"]);
}

#[test]
fn what_a_handler_published_must_be_there_unless_its_message_was_never_confirmed() {
    let (mut settings, _, mut findings) = good();
    settings.mix = Mix::Everything;
    let publishes = |number: &u64| Fate::of(&settings, *number) == Fate::Publish;
    let number = (0..10_000).find(publishes).expect("some numbers publish");
    findings.entries = vec![entry(number, 1, Deed::Done, 1_000_000)];
    let mut confirmed = Published::default();
    confirmed.confirmed.push(number..number + 1);
    assert_eq!(judge(&settings, &confirmed, &[], &findings).words(1), [format!("1 lost: {number}")]);
    let mut uncertain = Published::default();
    uncertain.uncertain.push(number..number + 1);
    assert!(judge(&settings, &uncertain, &[], &findings).is_good());
}
