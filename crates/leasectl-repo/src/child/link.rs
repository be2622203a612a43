//! The child's side of the conversation with its parent.

use std::{
    io::{self, BufRead as _, Write as _},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group};

use crate::wire::{Answer, Login, Message, Request};

/// Talks to the parent, and ends this process when the parent is gone.
pub(crate) struct Link {
    answers: Mutex<mpsc::Receiver<Answer>>,
    output: Mutex<io::Stdout>,
}

impl Link {
    /// Reads the request and starts to watch for the parent's end.
    pub(crate) fn open() -> io::Result<(Self, Request)> {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let request = serde_json::from_str(&line)?;
        let (sender, answers) = mpsc::channel();
        thread::Builder::new()
            .name("parent".to_owned())
            .spawn(move || {
                for line in io::stdin().lock().lines().map_while(Result::ok) {
                    if let Ok(answer) = serde_json::from_str(&line)
                        && sender.send(answer).is_err()
                    {
                        break;
                    }
                }
                end_all();
            })?;
        let link = Self {
            answers: Mutex::new(answers),
            output: Mutex::new(io::stdout()),
        };
        Ok((link, request))
    }

    /// Sends one message; a parent that is gone does not hear it.
    pub(crate) fn send(&self, message: &Message) {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return;
        };
        line.push(b'\n');
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }

    /// Asks the parent for credentials and waits for the answer.
    pub(crate) fn ask_credentials(&self) -> Option<Login> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(&Message::AskCredentials);
        match answers.recv() {
            Ok(Answer::Credentials(login)) => login,
            Err(mpsc::RecvError) => None,
        }
    }
}

/// Kills this process and everything that it started.
fn end_all() {
    if getpgrp() == getpid() {
        let _ = kill_current_process_group(Signal::KILL);
    }
    std::process::exit(1);
}
