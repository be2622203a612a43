//! Bounds on what one clone or fetch may cost, for remotes that are slow, silent or huge.

use std::time::Duration;

use clap::Args;
use leasectl_repo::{Limits, SizeLimit};

use super::{ByteSize, positive_duration};

/// How much longer than a clone may take others wait for it.
const LOCK_MARGIN: Duration = Duration::from_secs(300);

/// Bounds that operators change; all others are fixed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Git")]
pub struct GitLimitArgs {
    /// Longest time that one clone or fetch may take
    #[arg(
        long,
        env = "LEASECTL_GIT_DEADLINE",
        value_name = "DUR",
        default_value = "1h"
    )]
    #[arg(value_parser = positive_duration)]
    git_deadline: Duration,
    /// Longest time for which a remote may send nothing
    #[arg(
        long,
        env = "LEASECTL_GIT_SILENCE",
        value_name = "DUR",
        default_value = "60s"
    )]
    #[arg(value_parser = positive_duration)]
    git_silence: Duration,
    /// Most that one clone or fetch may receive
    #[arg(
        long,
        env = "LEASECTL_GIT_MAX_SIZE",
        value_name = "SIZE",
        default_value = "20GiB"
    )]
    git_max_size: ByteSize,
    /// Largest object, such as a file, that a repository may have
    #[arg(
        long,
        env = "LEASECTL_GIT_MAX_OBJECT",
        value_name = "SIZE",
        default_value = "2GiB"
    )]
    git_max_object: ByteSize,
    /// Most memory that one clone or fetch may take, in a process of its own
    #[arg(
        long,
        env = "LEASECTL_GIT_MAX_MEMORY",
        value_name = "SIZE",
        default_value = "8GiB"
    )]
    git_max_memory: ByteSize,
}

/// What to do about a repository that is more than a limit lets in.
#[must_use]
pub fn size_advice(limit: SizeLimit) -> &'static str {
    match limit {
        SizeLimit::Bytes(_) => "raise --git-max-size if the repository is wanted",
        SizeLimit::Object(_) => "raise --git-max-object if the repository is wanted",
        SizeLimit::Memory(_) => "raise --git-max-memory if the repository is wanted",
        SizeLimit::Refs(_) | SizeLimit::Objects(_) => "that limit is fixed",
    }
}

impl GitLimitArgs {
    /// The limits of the clone cache.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            wall_clock: self.git_deadline,
            // Whoever waits for another's clone must not give up before that one has to.
            lock_wait: self.git_deadline.saturating_add(LOCK_MARGIN),
            silence: self.git_silence,
            max_bytes: self.git_max_size.bytes(),
            max_object_bytes: self.git_max_object.bytes(),
            max_memory_bytes: self.git_max_memory.bytes(),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: GitLimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_clone_cache() {
        let limits = Alone::parse_from(["worker"]).limits.limits();
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
    }

    #[test]
    fn each_flag_changes_its_limit() {
        let words = [
            "worker",
            "--git-deadline=5m",
            "--git-silence=2s",
            "--git-max-size=1MiB",
            "--git-max-object=2MiB",
            "--git-max-memory=3MiB",
        ];
        let limits = Alone::parse_from(words).limits.limits();
        assert_eq!(limits.wall_clock, Duration::from_secs(300));
        assert_eq!(limits.silence, Duration::from_secs(2));
        assert_eq!(limits.max_bytes, 1 << 20);
        assert_eq!(limits.max_object_bytes, 2 << 20);
        assert_eq!(limits.max_memory_bytes, 3 << 20);
        assert_eq!(limits.lock_wait, Duration::from_secs(600));
    }

    #[test]
    fn the_advice_on_a_size_names_a_flag_that_there_is() {
        let command = <Alone as clap::CommandFactory>::command();
        let is_flag = |word: &str| {
            let name = word.strip_prefix("--");
            name.is_some_and(|name| {
                command
                    .get_arguments()
                    .any(|arg| arg.get_long() == Some(name))
            })
        };
        for limit in [
            SizeLimit::Bytes(1),
            SizeLimit::Object(1),
            SizeLimit::Memory(1),
        ] {
            let advice = size_advice(limit);
            assert!(advice.split(' ').any(is_flag), "{advice}");
        }
    }
}
