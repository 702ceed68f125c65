//! Backups that are put back elsewhere, by a login that is not root's, of names that no shell likes, with a database that
//! dumps itself.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use bedplate::sandbox::Suite;

use super::backup::{HARD, backups, is_as, ran, restore, said, shown};
use super::support::{Ran, Rig};

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
         mkdir -p /mnt/real && echo x >/mnt/real/x && ln -s /mnt/real /srv/link && \
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
    let made = ran(&old, &["backup", &address, "-F", "ssh_config", "--to", "backups", "--also", "/srv/link"]).exits(0);
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
    // A link is no tree: where it led is told.
    assert!(said(&put).contains("/srv/link led to /mnt/real when"), "{}", said(&put));
    assert_eq!(new.inside("cat /mnt/real/x"), "x\n");
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

#[test]
#[ignore = "full tier: the only trees with names that a shell, tar or find could take for something else, and the only tree in a tree"]
fn any_name_comes_back() {
    let rig = with_docker(Suite::Bookworm);
    let folders = ["/srv/-rf [a]*?", "/srv/ around ", "/srv/back\\slash $(touch x) \"'`é", "/srv/outer"];
    let quoted = folders.map(|folder| shlex::try_quote(folder).expect("no NUL").into_owned());
    rig.inside(&format!(
        "apt-get install -y sqlite3 busybox-static >/dev/null 2>&1; mkdir -p -- {0} && cd -- {1} && {HARD} && mkdir .bedplate-before-1 && \
         echo x >.bedplate-before-1/x && mkdir '/srv/ around /what?' && sqlite3 '/srv/ around /what?/base' 'create table t (n); insert into t values (7)' && cd -- {2} && echo x >-x && \
         mkdir -p '/srv/outer/b[1] *' && echo inner >'/srv/outer/b[1] */inner' && \
         docker volume create --opt type=none --opt o=bind --opt 'device=/srv/outer/b[1] *' inner && \
         d=$(mktemp -d) && mkdir $d/bin && cp /bin/busybox $d/bin/sleep && tar -C $d -c . | docker import - nap && rm -r $d && \
         docker run --detach --name odd --volume {1}:/x nap sleep 9999 && docker run --detach --name within --volume inner:/x nap sleep 9999",
        quoted.join(" "),
        quoted[0],
        quoted[2]
    ));
    std::fs::create_dir(rig.path("backups")).expect("a folder");
    let address = rig.address();
    let mut words = vec!["backup", &address, "-F", "ssh_config", "--to", "backups"];
    for folder in &folders {
        words.extend(["--also", folder]);
    }
    let made = ran(&rig, &words).exits(0);
    println!("{}", said(&made));
    assert!(said(&made).contains("SQLite finds 1 database whole"), "{}", said(&made));
    // What an earlier restore has kept does not come along.
    rig.inside(&format!("rm -r -- {}/.bedplate-before-1", quoted[0]));
    let before = folders.map(|folder| shown(&rig, folder));
    rig.inside(&format!("echo mine >{}/mine && echo mine >'/srv/outer/b[1] */mine'", quoted[0]));
    let put = restore(&rig, &backups(&rig)[0], &address, &["--overwrite", "--remove-old"]).exits(0);
    println!("{}", said(&put));
    assert!(said(&put).contains("volume inner comes with /srv/outer"), "{}", said(&put));
    assert!(said(&put).contains("stopped 2 containers"), "{}", said(&put));
    let there = || {
        // SQLite's own copy of a database has the same rows, not the same bytes.
        for (folder, before) in folders.iter().zip(&before).filter(|(folder, _)| !folder.contains("around")) {
            is_as(&rig, folder, before);
        }
        assert_eq!(rig.inside("sqlite3 '/srv/ around /what?/base' 'select n from t'"), "7\n");
    };
    there();
    assert_eq!(rig.inside("docker inspect -f '{{.State.Running}}' odd within"), "true\ntrue\n");
    assert_eq!(rig.inside("docker run --rm --volume inner:/x nap sleep 0; cat '/srv/outer/b[1] */inner'"), "inner\n");
    rig.inside("docker rm -f odd within && docker volume rm inner && rm -rf /srv/* /srv/' '*");
    restore(&rig, &backups(&rig)[0], &address, &[]).exits(0);
    there();
    assert_eq!(rig.inside("docker volume inspect -f '{{.Options.device}}' inner"), "/srv/outer/b[1] *\n");
    assert_eq!(rig.inside("ls -A /srv | grep bedplate || true; ls /root/x 2>/dev/null || true"), "");

    // What is mounted below a tree would go away with what was there.
    rig.inside("mkdir /srv/outer/m && mount -t tmpfs none /srv/outer/m && echo x >/srv/outer/m/x");
    let below = restore(&rig, &backups(&rig)[0], &address, &["--overwrite", "--only", "/srv/outer"]).exits(1);
    assert!(said(&below).contains("a file system is mounted below"), "{}", said(&below));
    rig.inside("cat /srv/outer/m/x && umount /srv/outer/m && rmdir /srv/outer/m");

    // What can not be said to a host is refused in plain words.
    rig.inside("mkdir \"$(printf '/srv/line\\nbreak')\" \"$(printf '/srv/r\\351sum')\" && ln -s \"$(printf '/srv/r\\351sum')\" /srv/link");
    let base = ["backup", address.as_str(), "-F", "ssh_config", "--to", "backups"];
    for (name, words) in
        [("/srv/line\nbreak", "/srv/line\\nbreak has a line break in its name"), ("/srv/link", "is no UTF-8")]
    {
        let refused = ran(&rig, &[&base[..], &["--also", name]].concat()).exits(4);
        assert!(said(&refused).replace("\n         ", " ").contains(words), "{}", said(&refused));
    }
    let mut command = rig.command(&base);
    let odd =
        command.arg("--also").arg(OsString::from_vec(b"/srv/r\xe9sum".to_vec())).output().expect("the program runs");
    let refused = Ran::of(&odd).exits(4);
    assert!(said(&refused).contains("UTF-8"), "{}", said(&refused));
    assert_eq!(backups(&rig).len(), 1);
}

#[test]
#[ignore = "full tier: the only dump of a database server, PostgreSQL of the distribution, with a writer all along"]
fn a_dump_of_postgresql_is_whole() {
    let rig = Rig::up(Suite::Bookworm);
    rig.inside("(apt-get update && apt-get install -y --no-install-recommends postgresql) >/dev/null 2>&1");
    let as_postgres = "cd / && runuser -u postgres --";
    rig.inside(&format!(
        "{as_postgres} createdb shop && {as_postgres} psql -q shop -c 'create table rows (n serial primary key); \
         create table big as select n, md5(n::text) as sum from generate_series(1, 100000) as n; create index on big (sum)' && \
         printf 'while :; do runuser -u postgres -- psql -qAtc \"insert into rows default values returning n\" shop; done\n' >/root/writer && \
         systemd-run -q --unit=writer --property=StandardOutput=append:/root/acknowledged --working-directory=/ sh /root/writer"
    ));
    let acknowledged = || rig.inside("cat /root/acknowledged").lines().count();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while acknowledged() < 20 {
        assert!(std::time::Instant::now() < until, "the writer does not write");
    }
    std::fs::create_dir(rig.path("backups")).expect("a folder");
    let address = rig.address();
    let backup = |dump: &str, more: &[&str]| {
        let words = ["backup", &address, "-F", "ssh_config", "--to", "backups", "--also", "/srv/dump", "--dump", dump];
        ran(&rig, &[&words[..], more].concat())
    };
    // A dump that fails leaves no backup without one.
    let failed = backup("mkdir /srv/dump && echo no such server >&2 && exit 3", &[]).exits(1);
    assert!(
        said(&failed).contains("running your dump command") && said(&failed).contains("no such server"),
        "{}",
        said(&failed)
    );
    assert_eq!(backups(&rig), Vec::<String>::new());
    rig.inside("rmdir /srv/dump");
    let dump = "mkdir -p -m 0700 /srv/dump && cd / && runuser -u postgres -- pg_dump --format=custom shop >/srv/dump/new && mv /srv/dump/new /srv/dump/shop";
    for more in [&[][..], &["--stop"]] {
        let before: Vec<String> = rig.inside("cat /root/acknowledged").lines().map(str::to_owned).collect();
        let made = backup(dump, more).exits(0);
        println!("{}", said(&made));
        assert!(acknowledged() > before.len(), "the writer did not write meanwhile");
        let big = "select count(*), md5(string_agg(sum, '' order by n)) from big";
        let sum = rig.inside(&format!("{as_postgres} psql -At shop -c \"{big}\""));
        // The server is lost, and what is in the archive makes another one.
        rig.inside("rm -rf /srv/dump");
        restore(&rig, backups(&rig).last().expect("a backup"), &address, &[]).exits(0);
        rig.inside(&format!(
            "{as_postgres} dropdb --if-exists other && {as_postgres} createdb other && {as_postgres} pg_restore --exit-on-error --dbname other </srv/dump/shop"
        ));
        assert_eq!(rig.inside(&format!("{as_postgres} psql -At other -c \"{big}\"")), sum);
        let rows = rig.inside(&format!("{as_postgres} psql -At other -c 'select n from rows'"));
        let rows: Vec<&str> = rows.lines().collect();
        assert!(before.iter().all(|row| rows.contains(&row.as_str())), "acknowledged {before:?}, there {rows:?}");
    }
}
