//! Backups that are put back elsewhere: on another box, by a login that is not root's, with a database that dumps itself.

use bedplate::sandbox::Suite;

use super::backup::{HARD, backups, is_as, ran, restore, said, shown};
use super::support::Rig;

const VOLUMES: &str = "/var/lib/docker/volumes";
/// What Docker itself says of the volumes.
const OPTIONS: &str = "docker volume inspect --format '{{.Name}} {{.Driver}} {{.Labels}} {{.Options}}' shop_storage shop_bound kamal-proxy-config";

fn with_docker(suite: Suite) -> Rig {
    let rig = Rig::up(suite);
    rig.run("apply", &["--tags", "docker"]).exits(0);
    rig.inside("apt-get install -y attr acl >/dev/null 2>&1");
    rig
}

#[test]
#[ignore = "full tier: the only restore on another box than the one that was backed up, another release, with kamal-proxy's certificates"]
fn a_backup_of_one_box_comes_whole_to_another() {
    let old = with_docker(Suite::Bookworm);
    old.inside(&format!(
        "docker volume create --label of=shop --label 'odd=a b' shop_storage && mkdir -p '/srv/the bound' && \
         docker volume create --opt type=none --opt o=bind --opt 'device=/srv/the bound' shop_bound && docker volume create kamal-proxy-config && \
         cd {VOLUMES}/shop_storage/_data && {HARD} && chown 1000:1000 . && chmod 2775 . && echo x >'/srv/the bound/x' && chown -R 33:44 '/srv/the bound' && \
         cd ../../kamal-proxy-config/_data && mkdir -p certs/acme && echo key >certs/acme/key && echo state >kamal-proxy.state && \
         chown -R 1000:1000 . && chmod 0700 certs && chmod 0600 certs/acme/key && chmod 0750 . && \
         mkdir -p /root/.kamal/proxy/apps-config/shop/tls && cd /root/.kamal/proxy/apps-config && echo pem >shop/tls/key.pem && \
         chmod 0640 shop/tls/key.pem && chown -R 1000:1000 shop && chmod 0700 shop/tls && \
         tar -c -T /dev/null | docker import - nothing && \
         docker create --name kamal-proxy --volume /root/.kamal/proxy/apps-config:/x --volume kamal-proxy-config:/y nothing /z"
    ));
    let certificates = format!("{VOLUMES}/kamal-proxy-config/_data/certs");
    let storage = format!("{VOLUMES}/shop_storage/_data");
    let folders = [storage.as_str(), "/srv/the bound", &certificates, "/root/.kamal/proxy/apps-config"];
    let before = folders.map(|folder| shown(&old, folder));
    let (options, proxy_s) = (old.inside(OPTIONS), format!("stat -c '%u:%g %a' {VOLUMES}/kamal-proxy-config/_data"));
    let address = old.address();
    std::fs::create_dir(old.path("backups")).expect("a folder");
    let made = ran(&old, &["backup", &address, "-F", "ssh_config", "--to", "backups"]).exits(0);
    println!("{}", said(&made));
    let backup = old.path(&format!("backups/{}", backups(&old)[0])).display().to_string();

    // There the numbers are other people's.
    let new = with_docker(Suite::Trixie);
    new.inside("! getent passwd 1000 >/dev/null || usermod --uid 1500 \"$(id -nu 1000)\"; useradd --uid 1000 --no-create-home somebody");
    let address = new.address();
    let words = ["restore", &backup, "--to", &address, "-F", "ssh_config"];
    let put = ran(&new, &words).exits(0);
    println!("{}", said(&put));
    assert!(said(&put).contains("the backup is of another host"), "{}", said(&put));
    for (folder, before) in folders.iter().zip(&before) {
        is_as(&new, folder, before);
    }
    assert_eq!(new.inside(OPTIONS), options);
    assert_eq!(new.inside(&proxy_s), old.inside(&proxy_s));
    // The proxy's state names targets that are not there; it may write its own, as whoever it runs as.
    new.inside(&format!(
        "cd {VOLUMES}/kamal-proxy-config/_data && [ ! -e kamal-proxy.state ] && \
         setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'cd {VOLUMES}/kamal-proxy-config/_data && echo >kamal-proxy.state' || ls -la . >&2"
    ));
    assert_eq!(new.inside(&format!("ls -A {VOLUMES}/*/_data /srv | grep bedplate || true")), "");
    // What is there by then is not overwritten unasked, and a volume of another kind is none of that name.
    let refused = ran(&new, &words).exits(4);
    assert!(said(&refused).contains("there is data already"), "{}", said(&refused));
    new.inside("docker volume rm shop_bound && docker volume create shop_bound");
    let other = ran(&new, &[&words[..], &["--overwrite", "--only", "shop_bound"]].concat()).exits(1);
    assert!(said(&other).contains("is another one on this host"), "{}", said(&other));
}

#[test]
#[ignore = "full tier: the only backup and restore by a login with sudo, and the only one on Debian 11"]
fn a_login_with_sudo_may_do_both() {
    let rig = Rig::up(Suite::Bullseye);
    rig.inside("(apt-get update && apt-get install -y attr acl sudo sqlite3) >/dev/null 2>&1");
    rig.inside(
        "useradd --create-home --shell /bin/bash ann && echo 'ann ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/ann && \
         cp -r /root/.ssh /home/ann/ && chown -R ann: /home/ann/.ssh",
    );
    rig.inside(&format!(
        "mkdir -m 0700 /srv/base /srv/shop && chown 33:44 /srv/base && \
         sqlite3 /srv/base/base 'pragma journal_mode=wal; create table t (n); insert into t values (7)' && \
         cd /srv/shop && {HARD} && chown 33:44 ."
    ));
    let before = shown(&rig, "/srv/shop");
    std::fs::create_dir(rig.path("backups")).expect("a folder");
    let ann = format!("ann@{}", rig.sandbox.ipv4());
    let made =
        ran(&rig, &["backup", &ann, "-F", "ssh_config", "--to", "backups", "--also", "/srv/shop,/srv/base"]).exits(0);
    assert!(said(&made).contains("SQLite finds 1 database whole"), "{}", said(&made));
    rig.inside("rm -rf /srv/shop /srv/base");
    restore(&rig, &backups(&rig)[0], &ann, &[]).exits(0);
    is_as(&rig, "/srv/shop", &before);
    assert_eq!(
        rig.inside("sqlite3 /srv/base/base 'select n from t' && stat -c '%u:%g %a' /srv/base"),
        "7\n33:44 700\n"
    );
    rig.inside("echo mine >/srv/shop/mine");
    restore(&rig, &backups(&rig)[0], &ann, &["--overwrite", "--remove-old"]).exits(0);
    is_as(&rig, "/srv/shop", &before);
}
