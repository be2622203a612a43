//! What a client says to PostgreSQL, as far as the proxy has to understand it: which statement runs,
//! and with which parameters.

use std::collections::HashMap;

/// The length word of a message counts itself.
const LENGTH_BYTES: usize = 4;
/// Longer than any message of these tests; more is not a client of PostgreSQL.
const LONGEST_BYTES: usize = 64 << 20;

/// A statement that traps and records know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Statement {
    /// Takes ready jobs.
    Claim,
    /// Takes over leases that are over.
    Reclaim,
    /// Beats for leases.
    Heartbeat,
    /// Ends leases.
    Settle,
    /// Opens a fenced transaction.
    Fence,
    /// Writes branch heads under the fence.
    RecordBranches,
    /// Replaces the inventory of changes under the fence.
    SwitchInventory,
    /// Writes what changes change, under the fence.
    RecordSnapshots,
    /// Ends a transaction.
    Commit,
}

impl Statement {
    const KNOWN: [(Self, &'static str); 8] = [
        (
            Self::Claim,
            include_str!("../../../crates/leasectl-core/src/lease/claim.sql"),
        ),
        (
            Self::Reclaim,
            include_str!("../../../crates/leasectl-core/src/lease/reclaim.sql"),
        ),
        (
            Self::Heartbeat,
            include_str!("../../../crates/leasectl-core/src/lease/heartbeat.sql"),
        ),
        (
            Self::Settle,
            include_str!("../../../crates/leasectl-core/src/lease/settle.sql"),
        ),
        (
            Self::Fence,
            include_str!("../../../crates/leasectl-core/src/lease/fence.sql"),
        ),
        (
            Self::RecordBranches,
            include_str!("../../../crates/leasectl-core/src/repository/record_branches.sql"),
        ),
        (
            Self::SwitchInventory,
            include_str!("../../../crates/leasectl-core/src/changes/inventory_switch.sql"),
        ),
        (
            Self::RecordSnapshots,
            include_str!("../../../crates/leasectl-core/src/changes/record_snapshots.sql"),
        ),
    ];

    fn of(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"commit") {
            return Some(Self::Commit);
        }
        let known = Self::KNOWN.iter();
        known
            .filter(|(_, sql)| sql.as_bytes() == text)
            .map(|(statement, _)| *statement)
            .next()
    }
}

/// A statement about to run, with its parameters as they were sent.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Call<'a> {
    pub(super) statement: Statement,
    pub(super) params: Vec<Option<&'a [u8]>>,
}

/// Cuts a client's bytes into messages, and knows what its prepared statements are.
#[derive(Debug, Default)]
pub(super) struct Frontend {
    /// Bytes of a message that has not come whole.
    pending: Vec<u8>,
    is_started: bool,
    prepared: HashMap<Vec<u8>, Statement>,
}

impl Frontend {
    /// Takes bytes as they came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, if it has come.
    pub(super) fn next_message(&mut self) -> Option<Vec<u8>> {
        let head = usize::from(self.is_started);
        let length = self.pending.get(head..head + LENGTH_BYTES)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let end = head
            + usize::try_from(length)
                .ok()?
                .clamp(LENGTH_BYTES, LONGEST_BYTES);
        if self.pending.len() < end {
            return None;
        }
        let message: Vec<u8> = self.pending.drain(..end).collect();
        // A request for encryption is answered with one byte, and the start follows.
        self.is_started |= message.get(4..8) != Some(&80_877_103_u32.to_be_bytes());
        Some(message)
    }

    /// The statement that this message runs, where it is a known one. Messages must be shown in
    /// their order.
    pub(super) fn understand<'a>(&mut self, message: &'a [u8]) -> Option<Call<'a>> {
        let (kind, body) = (message.first()?, message.get(1 + LENGTH_BYTES..)?);
        match kind {
            b'Q' => Some(Call {
                statement: Statement::of(body.strip_suffix(b"\0")?)?,
                params: Vec::new(),
            }),
            b'P' => {
                let (name, rest) = text(body)?;
                let (sql, _) = text(rest)?;
                match Statement::of(sql) {
                    Some(statement) => self.prepared.insert(name.to_owned(), statement),
                    None => self.prepared.remove(name),
                };
                None
            }
            b'B' => {
                let (_portal, rest) = text(body)?;
                let (name, rest) = text(rest)?;
                let statement = *self.prepared.get(name)?;
                let params = parameters(rest).unwrap_or_default();
                Some(Call { statement, params })
            }
            _ => None,
        }
    }
}

/// Takes the lock out of a fence's text on its way to the server; its length stays.
pub(super) fn without_lock(mut message: Vec<u8>) -> Vec<u8> {
    const LOCK: &[u8] = b"for key share\n\0";
    let is_parse = message.first() == Some(&b'P');
    let found = message.windows(LOCK.len()).position(|part| part == LOCK);
    if let Some(at) = found.filter(|_| is_parse) {
        message[at..at + LOCK.len() - 2].fill(b' ');
    }
    message
}

/// A text up to its zero, and what follows.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The parameters of a Bind, after its two names.
fn parameters(bytes: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (formats, bytes) = count(bytes)?;
    let (wanted, mut bytes) = count(bytes.get(2 * formats..)?)?;
    let mut params = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        // A length of -1 says NULL.
        if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
            params.push(Some(rest.get(..length)?));
            bytes = &rest[length..];
        } else {
            params.push(None);
            bytes = rest;
        }
    }
    Some(params)
}

fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*count)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    fn started() -> Frontend {
        Frontend {
            is_started: true,
            ..Frontend::default()
        }
    }

    #[test]
    fn a_prepared_fence_is_known_by_its_text_and_shows_its_parameters() {
        let mut frontend = started();
        let (_, sql) = Statement::KNOWN[4];
        let parse = message(b'P', format!("s1\0{sql}\0\0\0").as_bytes());
        assert_eq!(frontend.understand(&parse), None);
        let mut body = b"\0s1\0\0\x01\0\x01\0\x02".to_vec();
        body.extend(7_i32.to_be_bytes());
        body.extend(b"a:1:234");
        body.extend((-1_i32).to_be_bytes());
        let bind = message(b'B', &body);
        let call = frontend.understand(&bind).unwrap();
        assert_eq!(call.statement, Statement::Fence);
        assert_eq!(call.params, [Some(&b"a:1:234"[..]), None]);
    }

    #[test]
    fn the_lock_of_a_fence_can_be_taken_out() {
        let (_, sql) = Statement::KNOWN[4];
        let parse = message(b'P', format!("s1\0{sql}\0\0\0").as_bytes());
        let without = without_lock(parse.clone());
        assert_eq!(without.len(), parse.len());
        let shown = String::from_utf8_lossy(&without).into_owned();
        assert_eq!(shown.matches("for key share").count(), 0, "{shown}");
    }

    #[test]
    fn a_commit_is_known_in_a_simple_query() {
        let call = message(b'Q', b"COMMIT\0");
        let known = started().understand(&call).map(|call| call.statement);
        assert_eq!(known, Some(Statement::Commit));
    }

    #[test]
    fn messages_come_whole_however_they_were_cut() {
        let mut frontend = Frontend::default();
        let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, 47];
        bytes.extend([0, 0, 0, 9, 0, 3, 0, 0, 0]);
        bytes.extend(message(b'Q', b"COMMIT\0"));
        let mut lengths = Vec::new();
        for byte in bytes {
            frontend.push(&[byte]);
            lengths.extend(frontend.next_message().map(|message| message.len()));
        }
        assert_eq!(lengths, [8, 9, 12]);
    }
}
