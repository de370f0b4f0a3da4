//! Tokens: made, kept, shown, taken back.

use super::*;

fn token(roles: &[Role]) -> (Secret, Token) {
    let secret = Secret::new();
    let token = Token {
        id: secret.id.clone(),
        name: "till".to_owned(),
        roles: roles.to_vec(),
        sha256: secret.hash(),
        created_at: "2026-11-22T12:00:00.000Z".to_owned(),
        bounds: Bounds::default(),
    };
    (secret, token)
}

fn file(tokens: Vec<Token>) -> (tempfile::TempDir, std::path::PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("tokens.toml");
    TokensFile { tokens }.save(&path).unwrap();
    (scratch, path)
}

#[test]
fn only_the_very_token_is_admitted() {
    let (secret, kept) = token(&[Role::Checkout]);
    let (_scratch, path) = file(vec![kept, token(&[Role::Admin]).1]);
    let access = Access::Tokens(Arc::new(Kept::open(&path).unwrap()));
    let text = secret.reveal();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let grant = access.admit(Some(format!("{scheme} {text}").as_bytes())).unwrap();
        assert!(grant.has_any(&[Role::Checkout]) && !grant.has_any(&[Role::Read, Role::Stock, Role::Admin]));
    }
    assert_eq!(access.admit(None).unwrap_err(), Unknown::NoToken);
    let last = if text.ends_with('A') { "B" } else { "A" };
    let other = format!("Bearer {}{last}", &text[..text.len() - 1]);
    let swapped = format!("Bearer lu_00000000_{}", text.rsplit_once('_').unwrap().1);
    let shorter = format!("Bearer {}", &text[..text.len() - 1]);
    let longer = format!("Bearer {text}A");
    let basic = format!("Basic {text}");
    let bare = text.to_owned();
    for wrong in
        [other, swapped, shorter, longer, basic, bare, "Bearer".into(), "Bearer ".into(), String::new()]
    {
        assert_eq!(access.admit(Some(wrong.as_bytes())).unwrap_err(), Unknown::BadToken, "{wrong}");
    }
    assert_eq!(access.admit(Some(b"Bearer \xff")).unwrap_err(), Unknown::BadToken);
}

#[test]
fn without_tokens_everybody_may_everything_and_a_grant_of_nothing_is_for_nothing() {
    assert!(Access::Open.admit(None).unwrap().has_any(&[Role::Admin]));
    assert!(!Grant::default().has_any(&[Role::Read, Role::Checkout, Role::Stock, Role::Admin]));
}

#[test]
fn the_file_is_read_as_it_was_written_for_this_user_alone_and_tells_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let (secret, mut kept) = token(&[Role::Checkout]);
    kept.bounds = Bounds { cart_prefix: Some("web-".to_owned()), customer_prefix: None };
    kept.name = "a \"web\"\nshop".to_owned();
    let (_scratch, path) = file(vec![kept.clone()]);
    assert_eq!(TokensFile::load(&path).unwrap().tokens, [kept]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(secret.reveal().rsplit_once('_').unwrap().1), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{secret:?}").contains(secret.reveal().rsplit_once('_').unwrap().1));
}

#[test]
fn a_mistake_is_named_by_its_line_and_no_hash_is_told() {
    let hash = "a".repeat(64);
    let good = format!(
        "[[token]]\nid = \"1\"\nname = \"n\"\nroles = [\"read\"]\nsha256 = \"{hash}\"\ncreated_at = \"t\"\n"
    );
    assert!(TokensFile::parse(&good).is_ok());
    for (text, told) in [
        (good.replace("read", "reed"), "line 4"),
        (good.replace(&hash, "abc"), "line 5"),
        (good.replace(&hash, &"\u{e9}".repeat(32)), "line 5"),
        (good.replace("[\"read\"]", "[]"), "token 1: has no role"),
        (format!("{good}[token.bounds]\ncart_prefix = \"a\"\n"), "token 1: is bound"),
        (format!("{good}{good}"), "token 1: is there twice"),
        (format!("{good}[token.bounds]\ncard_prefix = \"a\"\n"), "unknown field"),
        (format!("{good}role = \"admin\"\n"), "unknown field"),
        (format!("{good}{hash} = 1\n"), "unknown field ..."),
        (format!("token = \"{hash}\"\n"), "invalid type"),
        (good.replace("name = \"n\"\n", ""), "missing field `name`"),
        (format!("{good}x = "), "line 7"),
    ] {
        let mistake = TokensFile::parse(&text).unwrap_err();
        assert!(mistake.contains(told) && !mistake.contains('\n'), "{told}: {mistake}");
        assert!(!mistake.contains(&hash), "{mistake}");
    }
}

#[test]
fn a_bound_is_a_beginning_and_no_customer_is_not_one() {
    let of = |cart: Option<&str>, customer: Option<&str>| Bounds {
        cart_prefix: cart.map(str::to_owned),
        customer_prefix: customer.map(str::to_owned),
    };
    for (bounds, cart, customer, admitted) in [
        (of(Some("web-"), None), "web-1", None, true),
        (of(Some("web-"), None), "web", None, false),
        (of(Some("web-"), None), "app-web-", Some("web-1"), false),
        (of(None, Some("eu-")), "any", Some("eu-7"), true),
        (of(None, Some("eu-")), "eu-7", None, false),
        (of(None, Some("")), "c", None, false),
        (of(Some("a"), Some("b")), "a1", Some("b1"), true),
        (of(Some("a"), Some("b")), "a1", Some("a1"), false),
    ] {
        assert_eq!(bounds.admit(cart, customer), admitted, "{bounds:?} {cart} {customer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_notice_of_and_a_broken_one_changes_nothing() {
    let ((first, one), (second, two)) = (token(&[Role::Read]), token(&[Role::Stock]));
    let (_scratch, path) = file(vec![one]);
    let kept = Arc::new(Kept::open(&path).unwrap());
    let watching = tokio::spawn(Arc::clone(&kept).watch());
    let until = async |known: &Secret, gone: &Secret| {
        while kept.find(known.reveal()).is_none() || kept.find(gone.reveal()).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    until(&first, &second).await;
    TokensFile { tokens: vec![two] }.save(&path).unwrap();
    until(&second, &first).await;
    for broken in ["[[token]]\nid = 1\n", "", "no toml"] {
        if broken.is_empty() {
            std::fs::remove_file(&path).unwrap();
        } else {
            std::fs::write(&path, broken).unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(kept.find(second.reveal()).is_some(), "{broken}");
    }
    TokensFile::default().save(&path).unwrap();
    while kept.find(second.reveal()).is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    watching.abort();
}

/// A file of any words is refused, in a line that tells no hash, or read; and what is read is read again as it is
/// written.
#[test]
fn tokens_files_of_any_words() {
    const HASH: &str = "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"";
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "[[token]]\n", "id = \"1a2b3c4d\"\n", "id = \"\"\n", "name = \"till\"\n", "roles = [\"checkout\"]\n",
        "roles = [\"read\", \"admin\"]\n", "roles = []\n", "roles = [\"root\"]\n", "sha256 = ", HASH, "\n", "\"00\"\n",
        "created_at = \"2026-11-22T12:00:00.000Z\"\n", "cart_prefix = \"eu-\"\n", "customer_prefix = \"\"\n", "# ",
        "=", "[", "]", "\"", "\\", ".", "1", "{", "}", ",", " ", "\t", "\0", "\u{e9}", "token",
    ];
    bolero::check!().for_each(|bytes: &[u8]| {
        let text: String = bytes.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        match TokensFile::parse(&text) {
            Ok(file) => assert_eq!(TokensFile::parse(&toml::to_string(&file).unwrap()), Ok(file)),
            Err(why) => assert!(!why.contains("0123456789abcdef") && !why.contains('\n'), "{why}"),
        }
    });
}
