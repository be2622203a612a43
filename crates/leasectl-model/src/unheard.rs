//! Claims whose answers are not waited for any more, and what becomes of what they took.

use crate::ids::{JobId, OwnerId, Token};
use crate::mutant::Mutant;
use crate::packet::{Outcome, Packet};
use crate::scenario::Scenario;
use crate::state::State;
use crate::worker::Mode;

impl State {
    /// Whether a worker has sent a claim and still expects its answer.
    pub(crate) fn waits_for_a_claim(&self, owner: OwnerId) -> bool {
        self.network
            .iter()
            .any(|packet| packet.owner() == Some(owner) && packet.is_about_claiming())
    }

    /// What a worker heard of a lease matters as long as the lease is its own; and what it suspects, as
    /// long as a look may find something now or later.
    pub(crate) fn forget_what_does_not_matter(&mut self) {
        for owner in OwnerId::ALL {
            let mut rows = self.database.jobs.iter();
            let held = rows.find_map(|row| row.token.filter(|_| row.owner == Some(owner)));
            let open = self.waits_for_a_claim(owner) || self.is_orphaned(owner);
            self.worker_mut(owner).forget(held, open);
        }
    }

    /// Whether a claim that was given up may yet be carried out.
    fn is_orphaned(&self, owner: OwnerId) -> bool {
        let mut packets = self.network.iter();
        packets.any(|packet| matches!(packet, Packet::Orphan { owner: o, .. } if o == owner))
    }

    /// A statement, or an answer, does not arrive.
    pub(crate) fn lose(&self, packet: Packet) -> Option<Self> {
        let mut next = self.with_loss()?;
        next.network.take(packet);
        if let Some(owner) = packet.owner().filter(|_| packet.is_about_claiming()) {
            next.worker_mut(owner).suspect();
        }
        Some(next)
    }

    /// The statement goes its way. Its connection is closed, so that no answer comes too late.
    pub(crate) fn give_up(&self, packet: Packet) -> Option<Self> {
        let (owner, reclaims) = match packet {
            Packet::Claim { owner, .. } => (owner, false),
            Packet::Reclaim { owner, .. } => (owner, true),
            Packet::None
            | Packet::Orphan { .. }
            | Packet::Claimed { .. }
            | Packet::Beat { .. }
            | Packet::Missing { .. }
            | Packet::Beaten { .. }
            | Packet::BeatenNot { .. }
            | Packet::Settle { .. }
            | Packet::Settled { .. } => return None,
        };
        if self.worker(owner).mode != Mode::Live {
            return None;
        }
        let mut next = self.lose(packet)?;
        next.network.put(Packet::Orphan { owner, reclaims });
        Some(next)
    }

    /// The lease that `lease/unheard.sql` finds.
    fn unheard(&self, scenario: &Scenario, owner: OwnerId) -> Option<(JobId, Token)> {
        let worker = self.worker(owner);
        let suspicion = worker.suspicion?;
        JobId::ALL.into_iter().find_map(|job| {
            let row = self.database.job(job);
            let token = row.token.filter(|_| row.owner == Some(owner));
            let later = token != suspicion.since;
            let heard = token == worker.heard && !scenario.is(Mutant::UnheardTakesTheHeard);
            token.filter(|_| later && !heard).map(|token| (job, token))
        })
    }

    /// `lease/unheard.sql` looks once no claim is awaited any more, and as long as one that was given
    /// up may be carried out; what it finds is released as any lease is.
    pub(crate) fn look_for_unheard(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let worker = self.worker(owner);
        let waits = self.waits_for_a_claim(owner) && !scenario.is(Mutant::LooksDuringAClaim);
        if worker.mode != Mode::Live || waits {
            return None;
        }
        let (job, token) = self.unheard(scenario, owner)?;
        let packet = Packet::Settle {
            owner,
            job,
            token,
            outcome: Outcome::Released,
        };
        let sent = self.network.iter().any(|other| other == packet);
        if sent {
            None
        } else {
            self.with_packet(scenario, packet)
        }
    }
}
