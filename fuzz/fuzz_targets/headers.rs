//! Properties and headers, there and back, whole and damaged, and moved to other queues.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootstep::fuzzing::headers(data));
