//! Why a remote URL is refused.

/// Why a text is not an acceptable remote URL. No variant carries any of the text, so a
/// credential in it can reach neither a log nor an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RemoteUrlError {
    /// Nothing was given.
    #[error("the remote URL is empty; give one such as https://host/owner/name.git")]
    Empty,
    /// Longer than [`MAX_URL_BYTES`](crate::MAX_URL_BYTES).
    #[error("the remote URL is longer than 2048 bytes; use a shorter one")]
    TooLong,
    /// A byte below 0x20, or 0x7f.
    #[error("the remote URL holds a control character; remove it")]
    ControlCharacter,
    /// A byte that is not on the list of allowed ones.
    #[error(
        "the remote URL holds a character that is not allowed there; use letters, digits and \
         - . _ ~ + only, and percent-encode a space"
    )]
    ForbiddenCharacter,
    /// `::` calls a remote helper program in git.
    #[error("the remote URL holds '::', which names a helper program; use https:// or ssh://")]
    DoubleColon,
    /// Neither a supported scheme nor the scp form.
    #[error(
        "this kind of remote is not supported; write https://host/path, ssh://user@host/path or \
         user@host:path"
    )]
    Scheme,
    /// A local path, `file://` or `http://` without permission.
    #[error(
        "local paths, file:// and http:// are refused; use https:// or ssh://, or set \
         LEASECTL_ALLOW_LOCAL=1 on a machine where every user is trusted"
    )]
    LocalRefused,
    /// A local path that does not start at the root.
    #[error("a local path must be absolute, such as /srv/git/name.git")]
    PathNotAbsolute,
    /// A password, or user information in a scheme that takes none.
    #[error(
        "the remote URL holds a user name or password that must not be there; remove it and give \
         credentials through the environment, a credential helper or a token file"
    )]
    Credentials,
    /// ssh without a user.
    #[error("an ssh remote needs its user; write ssh://git@host/path or git@host:path")]
    UserMissing,
    /// A user that could be taken for something else.
    #[error(
        "the ssh user may hold only letters, digits and . _ - and must not start with '-'; \
         correct it"
    )]
    User,
    /// No host.
    #[error("the remote URL names no host; write it as https://host/path")]
    HostMissing,
    /// Not a host name.
    #[error("the host of the remote URL is not a valid host name; correct it")]
    Host,
    /// An address in a spelling that programs read differently.
    #[error(
        "the host looks like an address in an unusual notation; write four decimal numbers, a \
         full IPv6 address in brackets, or better a host name"
    )]
    AddressNotation,
    /// A host name with invalid internationalised labels.
    #[error(
        "the host holds an invalid internationalised label; write the name as its registry \
         publishes it"
    )]
    Punycode,
    /// A loopback or private address, or a name that only means something in a local network.
    #[error(
        "the host is not on the public internet; use a public host, or set \
         LEASECTL_ALLOW_LOCAL=1 on a machine where every user is trusted"
    )]
    HostNotPublic,
    /// A link-local, metadata, multicast or reserved address.
    #[error("the host is a metadata, link-local or reserved address, never a remote; change it")]
    HostForbidden,
    /// Not a number from 1 to 65535 without leading zeros.
    #[error("the port must be a number from 1 to 65535; correct it or leave it out")]
    Port,
    /// `?` or `#`.
    #[error("the remote URL has a query or fragment; remove everything from '?' or '#' on")]
    QueryOrFragment,
    /// No path, or only `/`.
    #[error("the remote URL names no repository; add its path after the host")]
    PathMissing,
    /// `//` inside the path.
    #[error("the path of the remote URL has an empty part ('//'); write single slashes")]
    EmptySegment,
    /// `.` or `..`, or more dots.
    #[error("the path of the remote URL has a part made of dots; write the path without it")]
    DotSegment,
    /// A part that starts with `-`.
    #[error("a part of the remote URL starts with '-', like an option; rename the repository")]
    LeadingDash,
    /// A percent-encoding of something else than a space or a letter.
    #[error(
        "the remote URL percent-encodes something that must be written plainly or not at all; \
         only spaces and letters beyond ASCII may be encoded"
    )]
    PercentEncoding,
}
