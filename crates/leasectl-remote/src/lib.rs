//! What a Git remote, a repository name, a ref and a path may look like.
//!
//! Everything that people or other programs hand to leasectl passes through one of these types
//! before it reaches Git, a disk or the network. The crate does no I/O and reads no environment.
//!
//! **Invariants**
//! - A value of these types is valid: there is no other way to make one than its `parse`.
//! - `parse(value.as_str())` gives the same value back.
//! - An error never repeats what was given, so it cannot leak a credential.

mod address;
mod host;
mod name;
mod path;
mod refs;
mod url;

pub use address::{Locality, is_public};
pub use name::{MAX_NAME_BYTES, RepoName, RepoNameError};
pub use path::{
    MAX_GLOB_ALTERNATIVES, MAX_GLOB_BYTES, MAX_GLOB_WILDCARDS, MAX_PATH_BYTES, PathGlob,
    PathGlobError, TreePath, TreePathError,
};
pub use refs::{MAX_REF_BYTES, RefName, RefNameError, Refspec, RefspecError, default_refspecs};
pub use url::{MAX_URL_BYTES, RemoteUrl, RemoteUrlError, Scheme};
