//! What a Git remote, a ref, a repository name and a path may look like.
