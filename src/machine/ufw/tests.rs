//! What ufw and the kernel say, read.

use super::*;

const FILE: &str = "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=62656470\n\
    -A ufw-user-input -p tcp --dport 22 -j ACCEPT\n\n\
    ### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in\n\
    -A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 \
    -j ufw-user-limit -m comment --comment 'dapp_OpenSSH'\n\
    ### tuple ### allow any any 0.0.0.0/0 any 1.2.3.4 in\n\
    -A ufw-user-input -s 1.2.3.4 -j ACCEPT\n";
const LIVE: &str = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N ufw-user-input\n\
    -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n\
    -A INPUT -j ufw-before-logging-input\n-A INPUT -j ufw-before-input\n-A INPUT -j ufw-after-input\n\
    -A INPUT -j ufw-after-logging-input\n-A INPUT -j ufw-reject-input\n-A INPUT -j ufw-track-input\n\
    -A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
    -A FORWARD -j ufw-before-logging-forward\n-A FORWARD -j ufw-before-forward\n\
    -A FORWARD -j ufw-after-forward\n-A FORWARD -j ufw-after-logging-forward\n\
    -A FORWARD -j ufw-reject-forward\n-A FORWARD -j ufw-track-forward\n\
    -A OUTPUT -j ufw-before-logging-output\n-A OUTPUT -j ufw-before-output\n-A OUTPUT -j ufw-after-output\n\
    -A OUTPUT -j ufw-after-logging-output\n-A OUTPUT -j ufw-reject-output\n-A OUTPUT -j ufw-track-output\n\
    -A ufw-before-input -j ufw-user-input\n-A ufw-before-output -j ufw-user-output\n\
    -A ufw-before-forward -j ufw-user-forward\n\
    -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n\
    -A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 \
    --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -m comment --comment \"\\'dapp_OpenSSH\\'\" \
    -j ufw-user-limit\n\
    -A ufw-user-input -s 1.2.3.4/32 -j ACCEPT\n";

fn answer(live: &str) -> UfwState {
    let body = format!("1\0nftables\n\0yes\0DROP\0ACCEPT\0DROP\0no\0{FILE}\0\0{live}\0\0");
    Ufw::parse(&[&Ufw::Here], &mut Fields::new(body.as_bytes())).unwrap().remove(0)
}

#[test]
fn reads_rules_and_finds_the_running_firewall_in_order() {
    let state = answer(LIVE);
    let ufw = state.ufw.unwrap();
    assert_eq!((ufw.enabled, ufw.ipv6, ufw.broken), (true, false, None));
    assert_eq!(state.others, BTreeSet::from(["nftables".to_owned()]));
    let said: BTreeSet<String> = ufw.rules.iter().map(Rule::to_string).collect();
    let expected = ["allow in 22/tcp # bedp", "allow in everything from 1.2.3.4", "limit in 22/tcp"];
    assert_eq!(said, expected.map(str::to_owned).into());
    assert!(ufw.rules.iter().filter(|rule| rule.from_anywhere()).all(|rule| rule.covers("tcp", 22)));
}

#[test]
fn a_flushed_firewall_is_found_though_its_files_are_right() {
    let others = ["-N", "-A INPUT -p tcp -m multiport", "-A FORWARD -j DOCKER", "-A FORWARD -o docker0"];
    for line in LIVE.lines().filter(|line| !others.iter().any(|other| line.starts_with(other))) {
        let broken = answer(&LIVE.replace(&format!("{line}\n"), "")).ufw.unwrap().broken;
        assert!(broken.is_some(), "without {line}");
    }
    let more = format!("{LIVE}-A ufw-user-input -p tcp -m tcp --dport 25 -j ACCEPT\n");
    assert!(answer(&more).ufw.unwrap().broken.unwrap().contains("that no file has"));
}

#[test]
fn ways_to_the_rules_in_another_order_are_found() {
    let (before, after) = ("-A INPUT -j ufw-before-input\n", "-A INPUT -j ufw-after-input\n");
    let turned = LIVE.replace(&format!("{before}{after}"), &format!("{after}{before}"));
    assert!(answer(&turned).ufw.unwrap().broken.unwrap().contains("another order"));
    let twice = LIVE.replace(before, &format!("{before}{before}"));
    assert!(answer(&twice).ufw.unwrap().broken.is_some());
}

#[test]
fn rules_that_let_in_before_ufw_is_asked_are_seen() {
    assert!(answer(LIVE).around.reading().is_empty());
    let first = "-A INPUT -j ufw-before-logging-input\n";
    let open = "-A INPUT -p tcp -m tcp --dport 3306 -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n";
    let state = answer(&LIVE.replace(first, &format!("{open}{first}")));
    assert_eq!(state.ufw.unwrap().broken, None, "other programs have rules too");
    let seen: Vec<&String> = state.around.reading().iter().collect();
    assert_eq!(seen, ["-p tcp -m tcp --dport 3306 -j ACCEPT"]);
    let behind = format!("{LIVE}-A INPUT -p tcp -m tcp --dport 3306 -j ACCEPT\n");
    assert!(answer(&behind).around.reading().is_empty(), "ufw is asked first");
}

#[test]
fn ports_are_covered_as_ufw_means_them() {
    let rule = |port: &str| Rule::incoming(false, "allow", "tcp", port, None);
    assert!(rule("8000:8010").covers("tcp", 8005) && rule("90,91").covers("tcp", 91) && rule("any").covers("tcp", 1));
    assert!(!rule("80").covers("udp", 80) && !rule("8000:8010").covers("tcp", 8011));
}
