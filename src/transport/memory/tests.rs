//! What the memory broker promises.
