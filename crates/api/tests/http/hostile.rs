//! Values and URLs that no request may get through.

use serde_json::{Value, json};

/// Odd, but names of branches all the same: they never come near a shell.
pub(crate) const GOOD_BRANCHES: [&str; 2] = ["$(reboot)", "\u{202e}\u{feff}"];

/// Values that fit no field of any request, but for the few that a test names.
pub(crate) fn values() -> Vec<Value> {
    vec![
        json!(1),
        json!(-1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({"$gt": ""}),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("../../etc/passwd"),
        json!("-x/--upload-pack=touch"),
        json!("'; drop table job; --"),
        json!(GOOD_BRANCHES[0]),
        json!(GOOD_BRANCHES[1]),
        json!("x".repeat(70_000)),
    ]
}

/// Put in place of HERE.
const SHAPES: [(&str, &str); 5] = [
    ("https://HERE/owner/name", HOSTS),
    ("HERE://git.example.com/owner/name", SCHEMES),
    ("https://git.example.comHERE", ENDINGS),
    ("https://HEREgit.example.com/owner/name", LOGINS),
    ("HERE", WHOLE),
];

const HOSTS: &str = "127.0.0.1,127.1,0x7f.0.0.1,0177.0.0.1,2130706433,localhost,localhost.,\
LOCALHOST,[::1],[::ffff:127.0.0.1],[::],0.0.0.0,0,10.0.0.1,172.16.0.1,192.168.0.1,\
169.254.169.254,100.64.0.1,224.0.0.1,255.255.255.255,[fe80::1],[fd00::1],[64:ff9b::7f00:1],\
metadata.google.internal,-oProxyCommand=x,a b,a%2fb,a\\b,,xn--";

const SCHEMES: &str = "http,file,ftp,git,gopher,javascript,data,ext::sh -c x #,https::http,ssh -o,\
HTTPS ,ssh+git";

const ENDINGS: &str = ",/,//x,/../x,/a/./b,/a/%2e%2e/b,/a/%2f,/-x,/a?b,/a#b,/a;b|c,/a`b`,/a$(b),\
/a\u{0}b,/a\r\nb,/a\\b,/a b,:0/a,:65536/a,:x/a";

const LOGINS: &str = "user:password@,:password@,user@,token@,@,a@b@";

const WHOLE: &str = "/etc/passwd,~/x,-x,--upload-pack=x,git@-oProxyCommand=x:a/b,git@host:,\
git@127.0.0.1:a/b,ssh://git@[::1]/a/b,ssh://git.example.com/a/b,owner/name";

/// URLs that may not be registered.
pub(crate) fn urls() -> Vec<String> {
    let long = format!("https://git.example.com/{}", "x".repeat(2_048));
    SHAPES
        .iter()
        .flat_map(|(shape, words)| words.split(',').map(|word| shape.replace("HERE", word)))
        .chain([long])
        .collect()
}
