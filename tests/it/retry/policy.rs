//! Policies through random settings: whatever they are, a delay finds a level, and no level comes too early.

use bootstep::RetryPolicy;
use proptest::prelude::*;
use std::time::Duration;

fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![0..5_000_u64, 0..10_000_000_000_u64].prop_map(Duration::from_millis)
}

fn shape() -> impl Strategy<Value = RetryPolicy> {
    prop_oneof![
        Just(RetryPolicy::none()),
        (delay(), 0..100_u32).prop_map(|(delay, retries)| RetryPolicy::fixed(delay, retries)),
        (delay(), 0..2_000_u32).prop_map(|(first, retries)| RetryPolicy::linear(first, retries)),
        (delay(), 0..100_u32).prop_map(|(first, retries)| RetryPolicy::exponential(first, retries)),
        prop::collection::vec(delay(), 0..40).prop_map(RetryPolicy::delays),
    ]
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (shape(), prop::option::of(delay()), 0.0..=1.0_f64).prop_map(|(policy, cap, fraction)| {
        let policy = match cap {
            Some(longest) => policy.cap(longest),
            None => policy,
        };
        policy.jitter(fraction)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn every_delay_rounds_up_to_one_of_sixteen_levels(policy in policy(), retries in 0..2_500_u32, random in 0.0..=1.0_f64) {
        let levels = policy.levels();
        prop_assert!(levels.len() <= 16 && levels.windows(2).all(|pair| pair[0] < pair[1]), "{levels:?}");
        let Some(nominal) = policy.next_delay(retries) else { return Ok(()) };
        let delay = policy.jittered(nominal, random);
        prop_assert!(Duration::ZERO < delay && delay <= nominal);
        let level = policy.level_for(delay).unwrap();
        prop_assert!(level >= delay && levels.contains(&level), "{delay:?} waits {level:?}");
        // The nearest, and the policy's own where it has a level to itself.
        prop_assert!(levels.iter().all(|other| *other < delay || level <= *other));
        let longest = (0..2_500).filter_map(|retries| policy.next_delay(retries)).max();
        prop_assert_eq!(levels.last().copied(), longest);
    }

    #[test]
    fn jitter_stays_within_its_fraction(milliseconds in 1..100_000_000_u64, fraction in 0.0..=1.0_f64, random in 0.0..=1.0_f64) {
        let delay = Duration::from_millis(milliseconds);
        let policy = RetryPolicy::fixed(delay, 3).jitter(fraction);
        let least = delay.mul_f64((1.0 - fraction - 0.001).max(0.0));
        prop_assert!(policy.jittered(delay, random) >= least);
        prop_assert!(policy.levels().iter().all(|level| (least..=delay).contains(level)), "{:?}", policy.levels());
        prop_assert_eq!(policy.jittered(delay, 0.0), delay);
        prop_assert_eq!(policy.next_delay(0), Some(delay));
    }
}

#[test]
fn each_level_of_a_jitter_is_as_likely_as_the_others() {
    let policy = RetryPolicy::fixed(Duration::from_secs(16), 1).jitter(1.0);
    let level = |step: u32| policy.level_for(policy.jittered(Duration::from_secs(16), (f64::from(step) + 0.5) / 1600.0));
    let mut counts = std::collections::BTreeMap::new();
    (0..1600).for_each(|step| *counts.entry(level(step).unwrap().as_secs()).or_insert(0) += 1);
    assert_eq!(counts, (1..=16).map(|seconds| (seconds, 100)).collect());
}

#[test]
fn linear_delays_grow_by_the_first() {
    let policy = RetryPolicy::linear(Duration::from_secs(2), 4).cap(Duration::from_secs(5));
    let delays: Vec<_> = (0..6).map(|retries| policy.next_delay(retries).map(|delay| delay.as_secs())).collect();
    assert_eq!(delays, [Some(2), Some(4), Some(5), Some(5), None, None]);
}

#[test]
fn listed_delays_are_as_many_retries() {
    let policy = RetryPolicy::delays([3, 1, 2].map(Duration::from_secs));
    let delays: Vec<_> = (0..4).map(|retries| policy.next_delay(retries).map(|delay| delay.as_secs())).collect();
    assert_eq!(delays, [Some(3), Some(1), Some(2), None]);
    assert_eq!(RetryPolicy::delays([]).next_delay(0), None);
}
