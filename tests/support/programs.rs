//! Programs that a test runs to their end.

use std::io::{ErrorKind, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Gives it this to read.
pub fn run(command: &mut Command, input: &str) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(piped, &program);
    // One that fails before it reads says why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A program that was just copied is busy for as long as a child of another thread, which was forked meanwhile, has not begun its own.
fn start(command: &mut Command, program: &str) -> Child {
    for _ in 0..100 {
        match command.spawn() {
            Ok(child) => return child,
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(error) => panic!("{program} is needed: run tools/test.sh ({error})"),
        }
    }
    panic!("{program} stays busy")
}

/// All that it wrote.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
