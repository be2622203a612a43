//! Finds what is mapped at an address, as a signal handler may: without allocating, and with little stack.

/// Bytes of a file's name, and of what the kernel adds to one that was deleted.
const NAME_BYTES: usize = 255 + DELETED.len();

/// What the kernel adds to the name of a file that was deleted.
const DELETED: &[u8] = b" (deleted)";

/// The fields before the path are five: addresses, permissions, offset, device, inode.
const PATH_FIELD: usize = 5;

/// A mapping, as a line of `/proc/self/maps` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The address behind it.
    pub(crate) end: usize,
    /// Whether it can be read, and neither written nor executed.
    pub(crate) is_read_only: bool,
    name: [u8; NAME_BYTES],
    name_length: usize,
}

impl Mapping {
    /// The last part of the path that is mapped; empty for memory that no file is behind.
    pub(crate) fn name(&self) -> &[u8] {
        let name = self.name.get(..self.name_length).unwrap_or_default();
        name.strip_suffix(DELETED).unwrap_or(name)
    }
}

/// Reads the lines of `/proc/self/maps` byte by byte until one covers the address.
///
/// `56f0a000-56f0c000 r--p 00002000 08:02 173521   /usr/bin/name`
pub(crate) struct Finder {
    address: usize,
    field: usize,
    is_in_field: bool,
    start: usize,
    has_start: bool,
    permissions: [u8; 3],
    permission: usize,
    mapping: Mapping,
}

impl Finder {
    pub(crate) fn of(address: usize) -> Self {
        Self {
            address,
            field: 0,
            is_in_field: false,
            start: 0,
            has_start: false,
            permissions: [0; 3],
            permission: 0,
            mapping: Mapping {
                end: 0,
                is_read_only: false,
                name: [0; NAME_BYTES],
                name_length: 0,
            },
        }
    }

    /// Takes the next bytes; gives the mapping once its line has ended.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<&Mapping> {
        for byte in bytes {
            if *byte != b'\n' {
                self.push(*byte);
            } else if (self.start..self.mapping.end).contains(&self.address) {
                self.mapping.is_read_only = self.permissions == *b"r--";
                return Some(&self.mapping);
            } else {
                *self = Self::of(self.address);
            }
        }
        None
    }

    fn push(&mut self, byte: u8) {
        // A path may have spaces of its own.
        if byte == b' ' && (self.field < PATH_FIELD || !self.is_in_field) {
            self.field += usize::from(self.is_in_field);
            self.is_in_field = false;
            return;
        }
        self.is_in_field = true;
        match self.field {
            0 => self.push_address(byte),
            1 => {
                if let Some(place) = self.permissions.get_mut(self.permission) {
                    *place = byte;
                }
                self.permission += 1;
            }
            PATH_FIELD => self.push_path(byte),
            _ => {}
        }
    }

    fn push_address(&mut self, byte: u8) {
        let number = if self.has_start {
            &mut self.mapping.end
        } else {
            &mut self.start
        };
        match char::from(byte).to_digit(16) {
            Some(digit) => *number = (*number << 4) | digit as usize,
            None => self.has_start = true,
        }
    }

    fn push_path(&mut self, byte: u8) {
        if byte == b'/' {
            self.mapping.name_length = 0;
        } else if let Some(place) = self.mapping.name.get_mut(self.mapping.name_length) {
            *place = byte;
            self.mapping.name_length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0c8a00000-55d0c8a02000 r-xp 00000000 08:02 173521                     /usr/bin/worker
7f1200000000-7f1200004000 r--p 00000000 00:2a 77    /srv/a b/objects/pack/pack-1f.pack
7f1200004000-7f1200006000 r--p 00000000 00:00 0 \n\
7f1200006000-7f1200008000 rw-p 00000000 00:00 0                          [heap]
7f1200008000-7f120000a000 r--s 00001000 00:2a 78                         /srv/pack-2e.idx (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    /// The name, the end, and whether it is read-only, of what is at an address.
    fn found(address: usize, chunk: usize) -> Option<(String, usize, bool)> {
        let mut finder = Finder::of(address);
        let mapping = MAPS
            .as_bytes()
            .chunks(chunk)
            .find_map(|bytes| finder.take(bytes).cloned())?;
        let name = String::from_utf8(mapping.name().to_vec()).ok()?;
        Some((name, mapping.end, mapping.is_read_only))
    }

    #[test]
    fn an_address_is_found_in_the_mapping_that_holds_it_however_the_text_comes() {
        for chunk in [1, 7, 64, 4096] {
            let found = |address| found(address, chunk);
            let pack = Some(("pack-1f.pack".to_owned(), 0x7f12_0000_4000, true));
            assert_eq!(found(0x7f12_0000_0000), pack, "the first byte");
            assert_eq!(found(0x7f12_0000_3fff), pack, "the last byte");
            let zeros = Some((String::new(), 0x7f12_0000_6000, true));
            assert_eq!(found(0x7f12_0000_4000), zeros, "the byte behind it");
            let deleted = Some(("pack-2e.idx".to_owned(), 0x7f12_0000_a000, true));
            assert_eq!(found(0x7f12_0000_9123), deleted, "a deleted file");
            let program = Some(("worker".to_owned(), 0x55d0_c8a0_2000, false));
            assert_eq!(found(0x55d0_c8a0_0001), program, "the program");
            let heap = Some(("[heap]".to_owned(), 0x7f12_0000_8000, false));
            assert_eq!(found(0x7f12_0000_6000), heap, "the heap");
            assert_eq!(found(0x1000), None, "nothing");
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_a_file_is_cut() {
        let line = format!("1000-2000 r--p 0 0 0 /{}\n", "n".repeat(1000));
        let mut finder = Finder::of(0x1000);
        let name = finder.take(line.as_bytes()).map(|found| found.name().len());
        assert_eq!(name, Some(NAME_BYTES));
    }

    #[test]
    fn the_maps_of_this_process_hold_its_own_variables() {
        let here = 0_u8;
        let maps = std::fs::read("/proc/self/maps").expect("a mounted /proc");
        let mut finder = Finder::of(&raw const here as usize);
        let found = finder.take(&maps).expect("a stack");
        assert!(!found.is_read_only);
    }
}
