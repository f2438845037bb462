//! The command `cimandat`: parse arguments, build the runtime, run, exit code; nothing else.

use std::{
    io::{self, Write},
    process,
};

use cimandat::{
    cli::{self, Parsed, ProcessEnv},
    exit::{self, ExitCode},
};

fn main() -> process::ExitCode {
    let surroundings = match ProcessEnv::read() {
        Ok(surroundings) => surroundings,
        Err(error) => return fail(&format!("error: the current folder: {error}\n")),
    };
    let invocation = match cli::parse(&surroundings) {
        Parsed::Run(invocation) => *invocation,
        Parsed::Print(text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            return process::ExitCode::SUCCESS;
        }
        Parsed::UsageError(text) => return fail(&text),
    };
    let console = invocation.console;
    let crash = invocation.engine.crash.clone();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("error: starting the runtime: {error}\n")),
    };
    let end = runtime.block_on(invocation.run());
    if let Err(error) = &end {
        exit::render_error(error, console);
    }
    if let Some(count) = crash.and_then(|crash| crash.counted()) {
        exit::eprint(&format!("changing requests: {count}\n"));
    }
    // Pending tasks (a followed log, a probe) have no consumer left.
    runtime.shutdown_background();
    exit::code(&end).into()
}

fn fail(text: &str) -> process::ExitCode {
    exit::eprint(text);
    ExitCode::Failed.into()
}
