//! What an answer does to the worker that it reaches.

use crate::packet::Packet;
use crate::scenario::Scenario;
use crate::state::State;
use crate::worker::{Handler, Mode, Owed, Stage, trust_window};

impl State {
    pub(crate) fn deliver(&self, scenario: &Scenario, packet: Packet) -> Option<Self> {
        let owner = packet.owner()?;
        if packet.is_statement() || self.worker(owner).mode != Mode::Live {
            return None;
        }
        let mut next = *self;
        next.network.take(packet);
        let signalled = self.signalled(scenario, owner);
        let worker = next.worker_mut(owner);
        match packet {
            Packet::Claimed {
                job,
                token,
                last_attempt,
                age,
                ..
            } => {
                worker.heard = Some(token);
                if worker.handler.is_none() && age < trust_window(scenario) && signalled {
                    worker.was_paused = false;
                    worker.handler = Some(Handler {
                        job,
                        token,
                        last_attempt,
                        cancel: false,
                        silence: age,
                        stage: Stage::Working,
                    });
                } else {
                    worker.owed = Some(Owed { job, token });
                }
            }
            Packet::Beaten {
                token, cancel, age, ..
            } => {
                if let Some(handler) = worker.handler_of(token) {
                    handler.silence = handler.silence.min(age);
                    handler.cancel |= cancel;
                }
            }
            Packet::BeatenNot { token, .. } => {
                if worker.handler_of(token).is_some() {
                    worker.stop_handler();
                }
            }
            Packet::Settled { token, .. } => {
                if worker
                    .handler_of(token)
                    .is_some_and(|handler| matches!(handler.stage, Stage::Settling(_)))
                {
                    worker.stop_handler();
                }
                worker.owed = worker.owed.filter(|owed| owed.token != token);
            }
            Packet::None
            | Packet::Claim { .. }
            | Packet::Reclaim { .. }
            | Packet::Orphan { .. }
            | Packet::Beat { .. }
            | Packet::Missing { .. }
            | Packet::Settle { .. } => return None,
        }
        Some(next)
    }
}
