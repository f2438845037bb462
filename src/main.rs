//! The command `cimandat`: parse arguments, build the runtime, run, exit code; nothing else.

fn main() {}
