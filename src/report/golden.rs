//! What people see, looked at by people: golden texts of whole runs. Notes are marked by `2|`.

use super::tests::{assert_drawn, drawn, style, verbose};
use super::{Style, samples};
use crate::base::event::EventKind;

#[test]
fn many_hosts_are_told_in_groups_and_those_not_begun_as_such() {
    assert_drawn(
        &drawn(&samples::check_forty_stopped(), style(80)),
        r#"
2| · 4 of 40 hosts done (0.9 s)
2| · 8 of 40 hosts done (1.1 s)
2| · 12 of 40 hosts done (1.2 s)
2| · 16 of 40 hosts done (1.4 s)
2| · 20 of 40 hosts done (1.6 s)
2|
2| error: web21: no answer on port 22 within 10 s
2| · 24 of 40 hosts done (1.7 s)
2| · 28 of 40 hosts done (1.9 s)
2| · 32 of 40 hosts done (2.0 s)
2| · 36 of 40 hosts done (2.0 s)
2| · 40 of 40 hosts done (2.0 s)
2|
web4, web18, web30 · Debian 12 (bookworm) amd64 · 1 of 2 tasks differs

  ~ the kernel swaps late  sysctl  playbooks/base.toml:33
      set vm.swappiness  60 → 10

= 26 hosts  1 skipped
    web1, web2, web3, web5, web6, web7, web8, web9, web10, web11 and 16 more
~ 3 hosts  1 to change · 1 skipped
    web4, web18, web30
! 10 hosts  not begun
    web31, web32, web33, web34, web35, web36, web37, web38, web39, web40
! 1 host  unreachable
    web21

40 hosts: 26 in sync, 3 to change, 1 unreachable, 10 not begun · 2.0 s

Run `bedplate apply --max-failures 1` to make these changes.
10 hosts were not begun: 1 host failed, and no further one is begun then
(--max-failures 1).
Fix the cause above, then run `bedplate check --max-failures 1` again.
"#,
    );
}

#[test]
fn a_check_of_a_fresh_host() {
    assert_drawn(
        &drawn(&samples::check(samples::tasks(), vec![samples::finding()]), style(80)),
        r#"
2| · Debian 12 (bookworm) amd64; as root, 84 facts in 0.7 s
2|
web1
  Debian 12 (bookworm) amd64 · 5 of 9 tasks differ · 1 known later · 1 refused

  ~ a swap file of 2 GiB          swap      playbooks/base.toml:19
      make the swap file /swapfile of 2 GiB
      write /etc/fstab
        @@ -1,3 +1,4 @@
         # /etc/fstab: static file system information.
         UUID=4c1f-9a / ext4 errors=remount-ro 0 1
         UUID=77ab-02 /boot ext4 defaults 0 2
        +/swapfile none swap sw 0 0
  + Docker from the distribution  packages  playbooks/base.toml:26
      install docker.io
  ~ the kernel swaps late         sysctl    playbooks/base.toml:33
      set vm.swappiness  60 → 10
  ~ a user that deploys           user      playbooks/base.toml:40
      add the user deploy
      set the password of deploy  sha256 2d711642b726 (new, not shown)
  ~ sshd lets in keys only        sshd      playbooks/base.toml:47
      write /etc/ssh/sshd_config.d/00-bedplate.conf
        +# Managed by bedplate.
        +PasswordAuthentication no
        +KbdInteractiveAuthentication no
        +PermitRootLogin prohibit-password
      reload ssh.service
      guarded: without a new login afterwards the host puts this back
  ? Docker keeps its logs small   file      playbooks/base.toml:54
      known after task 3 (Docker from the distribution)
  ! a volume for the database     volume    playbooks/base.toml:68
      refused: /dev/sdb holds an ext4 file system with data
      help: name another device, or empty /dev/sdb yourself

  Unmanaged:
    ! foreign-ufw-rule: port 8080/tcp is open to everyone, and no task says so
      help: add it to `allow`, or close it with `ufw delete allow 8080/tcp`

! web1  1 refused · 5 to change · 1 in sync · 1 known later · 1 skipped ·
        1 unmanaged · 0.7 s

Run `bedplate apply root@203.0.113.5` to make these changes. What is known later
is decided on the way.
What is refused needs your decision: see above, then run
`bedplate check root@203.0.113.5` again.
"#,
    );
}

#[test]
fn a_check_in_sync() {
    assert_drawn(
        &drawn(&samples::check(vec![samples::tasks().swap_remove(0)], vec![]), style(80)),
        r#"
2| · Debian 12 (bookworm) amd64; as root, 84 facts in 0.7 s
2|
= web1  1 in sync   0.7 s

Everything is in sync.
"#,
    );
}

#[test]
fn a_check_in_sync_says_why_when_asked() {
    assert_drawn(
        &drawn(
            &samples::check(vec![samples::tasks().swap_remove(0), samples::tasks().swap_remove(7)], vec![]),
            verbose(style(80)),
        ),
        r#"
2| · bedplate 0.1.0: check
2| · connecting to root@203.0.113.5:22
2| · Debian 12 (bookworm) amd64; as root, 84 facts in 0.7 s
2|
web1 · Debian 12 (bookworm) amd64 · 0 of 2 tasks differ

  = the clock is kept right  service  playbooks/base.toml:12
      systemd-timesyncd.service is enabled and active
  · transparent huge pages   sysctl   playbooks/base.toml:61
      the host is a container

= web1  1 in sync · 1 skipped   0.7 s

Everything is in sync.
"#,
    );
}

#[test]
fn an_apply_with_a_guard() {
    assert_drawn(
        &drawn(&samples::apply_with_guard(), style(80)),
        r#"
2| · Debian 12 (bookworm) amd64; as root, 84 facts in 0.7 s
2|
web1 · Debian 12 (bookworm) amd64 · 2 of 3 tasks to change

  + Docker from the distribution  packages  playbooks/base.toml:26
      install docker.io
  ~ sshd lets in keys only        sshd      playbooks/base.toml:47
      write /etc/ssh/sshd_config.d/00-bedplate.conf
        +# Managed by bedplate.
        +PasswordAuthentication no
        +KbdInteractiveAuthentication no
        +PermitRootLogin prohibit-password
      reload ssh.service
      guarded: without a new login afterwards the host puts this back
2|
2| ✓ install docker.io (14.2 s)
2| ◇ guard armed over sshd: undone in 90 s unless a new login confirms
2| ✓ write /etc/ssh/sshd_config.d/00-bedplate.conf (12 ms)
2| ✓ reload ssh.service (0.1 s)
2| ◆ guard confirmed by a new login as root@203.0.113.5:22 (0.5 s)
2| ✓ verified: everything is as planned (0.4 s)

✓ web1  2 changed · 1 in sync   16.1 s

Applied and verified. `bedplate check root@203.0.113.5` tells when it drifts.
"#,
    );
}

#[test]
fn an_apply_with_all_that_the_host_said() {
    let mut events = samples::apply_with_guard();
    let differs = vec![(6, "sshd lets in keys only".to_owned(), "PermitRootLogin is yes, not no".to_owned())];
    let end = events.len() - 3;
    events[end].kind = EventKind::Verified { differs, took_ms: 480 };
    assert_drawn(
        &drawn(&events.split_off(5), verbose(verbose(style(80)))),
        r#"
2| · 1/3 Docker from the distribution: install docker.io
2| | Unpacking docker.io (26.1.5) …
2| ✓ install docker.io (14.2 s)
2| ◇ guard armed over sshd: undone in 90 s unless a new login confirms
2| · 2/3 sshd lets in keys only: write /etc/ssh/sshd_config.d/00-bedplate.conf
2| ✓ write /etc/ssh/sshd_config.d/00-bedplate.conf (12 ms)
2| · 3/3 sshd lets in keys only: reload ssh.service
2| ✓ reload ssh.service (0.1 s)
2| ◆ guard confirmed by a new login as root@203.0.113.5:22 (0.5 s)
2| ! looked again: 1 task not as planned (0.4 s)
2|   task 6: sshd lets in keys only: PermitRootLogin is yes, not no
2|
✓ web1  2 changed · 1 in sync   15.3 s
"#,
    );
}

#[test]
fn an_apply_whose_guard_put_the_host_back() {
    assert_drawn(
        &drawn(&samples::apply_restored().split_off(12), style(80)),
        r#"
2| ✓ reload ssh.service (0.1 s)
2| ! the guard put the host back as it was
2|   restored: /etc/ssh/sshd_config.d/00-bedplate.conf, ssh.service
2|   cause:    no new login came in within 90 s: connection refused on port 22
2|
2| error: no answer on port 22 after sshd was reloaded; the guard put the old
2|        configuration back
2|   at:    playbooks/base.toml:47
2|   state: sshd is as before task 6; task 3 stays applied
2|   help:  see `journalctl -u ssh` on web1, then run `bedplate check web1`
2|
! web1  put back by its guard · 1 changed · 1 in sync   1 min 30 s
"#,
    );
}

#[test]
fn an_apply_that_fails() {
    assert_drawn(
        &drawn(&samples::apply_failing(), style(200)),
        r#"
2| · Debian 12 (bookworm) amd64; as root, 84 facts in 0.7 s
2|
web1 · Debian 12 (bookworm) amd64 · 2 of 3 tasks to change

  + Docker from the distribution  packages  playbooks/base.toml:26
      install docker.io
  ~ sshd lets in keys only        sshd      playbooks/base.toml:47
      write /etc/ssh/sshd_config.d/00-bedplate.conf
        +# Managed by bedplate.
        +PasswordAuthentication no
        +KbdInteractiveAuthentication no
        +PermitRootLogin prohibit-password
      reload ssh.service
      guarded: without a new login afterwards the host puts this back
2|
2| error: task 3 `Docker from the distribution` failed: `apt-get install` ended with status 100
2|   at:    playbooks/base.toml:26
2|   said:  E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)
2|          E: Unable to acquire the dpkg frontend lock
2|   state: nothing was changed; tasks 3 to 9 were not begun
2|   help:  wait for unattended-upgrades, then run `bedplate apply` again

! web1  failed · 1 in sync   12.4 s

Fix the cause above, then run `bedplate apply root@203.0.113.5` again.
"#,
    );
}

#[test]
fn twenty_hosts_on_a_narrow_terminal() {
    assert_drawn(
        &drawn(&samples::check_twenty(), Style { bars: true, ..style(80) }),
        r#"
2| error: web7: no answer on port 22 within 10 s
2|   state: nothing was changed
2|   help:  see whether web7 is up: `ssh root@web7`
2|
web1, web3, web4, web6, web8, web9, web11, web12, web14, web15, web16, web17,
web18, web19, web20
  15 hosts · Debian 12 (bookworm) amd64 · 2 of 3 tasks differ

  ~ the kernel swaps late   sysctl  playbooks/base.toml:33
      set vm.swappiness  60 → 10
  ~ sshd lets in keys only  sshd    playbooks/base.toml:47
      write /etc/ssh/sshd_config.d/00-bedplate.conf
        +# Managed by bedplate.
        +PasswordAuthentication no
        +KbdInteractiveAuthentication no
        +PermitRootLogin prohibit-password
      reload ssh.service
      guarded: without a new login afterwards the host puts this back

web13 · Debian 12 (bookworm) amd64 · 2 of 3 tasks differ

  ~ a swap file of 2 GiB   swap    playbooks/base.toml:19
      make the swap file /swapfile of 2 GiB
      write /etc/fstab
        @@ -1,3 +1,4 @@
         # /etc/fstab: static file system information.
         UUID=4c1f-9a / ext4 errors=remount-ro 0 1
         UUID=77ab-02 /boot ext4 defaults 0 2
        +/swapfile none swap sw 0 0
  ~ the kernel swaps late  sysctl  playbooks/base.toml:33
      set vm.swappiness  60 → 10

  Unmanaged:
    ! foreign-ufw-rule: port 8080/tcp is open to everyone, and no task says so
      help: add it to `allow`, or close it with `ufw delete allow 8080/tcp`

~ web1   2 to change · 1 in sync                 0.9 s
= web2   1 in sync · 1 skipped                   0.9 s
~ web3   2 to change · 1 in sync                 0.9 s
~ web4   2 to change · 1 in sync                 0.9 s
= web5   1 in sync · 1 skipped                   0.9 s
~ web6   2 to change · 1 in sync                 0.9 s
! web7   unreachable                             9.9 s
~ web8   2 to change · 1 in sync                 0.9 s
~ web9   2 to change · 1 in sync                 0.9 s
= web10  1 in sync · 1 skipped                   0.9 s
~ web11  2 to change · 1 in sync                 1.0 s
~ web12  2 to change · 1 in sync                 1.0 s
~ web13  2 to change · 1 in sync · 1 unmanaged   1.0 s
~ web14  2 to change · 1 in sync                 1.0 s
~ web15  2 to change · 1 in sync                 1.0 s
~ web16  2 to change · 1 in sync                 1.0 s
~ web17  2 to change · 1 in sync                 1.0 s
~ web18  2 to change · 1 in sync                 1.0 s
~ web19  2 to change · 1 in sync                 1.0 s
~ web20  2 to change · 1 in sync                 1.0 s

20 hosts: 16 to change, 3 in sync, 1 unreachable · 10.1 s

Run `bedplate apply` to make these changes.
Fix the cause above, then run `bedplate check` again.
"#,
    );
}

#[test]
fn twenty_hosts_on_a_wide_terminal() {
    assert_drawn(
        &drawn(&samples::check_twenty(), Style { bars: true, ..style(200) }),
        r#"
2| error: web7: no answer on port 22 within 10 s
2|   state: nothing was changed
2|   help:  see whether web7 is up: `ssh root@web7`
2|
web1, web3, web4, web6, web8, web9, web11, web12, web14, web15, web16, web17, web18, web19, web20 · Debian 12 (bookworm) amd64 · 2 of 3 tasks differ

  ~ the kernel swaps late   sysctl  playbooks/base.toml:33
      set vm.swappiness  60 → 10
  ~ sshd lets in keys only  sshd    playbooks/base.toml:47
      write /etc/ssh/sshd_config.d/00-bedplate.conf
        +# Managed by bedplate.
        +PasswordAuthentication no
        +KbdInteractiveAuthentication no
        +PermitRootLogin prohibit-password
      reload ssh.service
      guarded: without a new login afterwards the host puts this back

web13 · Debian 12 (bookworm) amd64 · 2 of 3 tasks differ

  ~ a swap file of 2 GiB   swap    playbooks/base.toml:19
      make the swap file /swapfile of 2 GiB
      write /etc/fstab
        @@ -1,3 +1,4 @@
         # /etc/fstab: static file system information.
         UUID=4c1f-9a / ext4 errors=remount-ro 0 1
         UUID=77ab-02 /boot ext4 defaults 0 2
        +/swapfile none swap sw 0 0
  ~ the kernel swaps late  sysctl  playbooks/base.toml:33
      set vm.swappiness  60 → 10

  Unmanaged:
    ! foreign-ufw-rule: port 8080/tcp is open to everyone, and no task says so
      help: add it to `allow`, or close it with `ufw delete allow 8080/tcp`

~ web1   2 to change · 1 in sync                 0.9 s
= web2   1 in sync · 1 skipped                   0.9 s
~ web3   2 to change · 1 in sync                 0.9 s
~ web4   2 to change · 1 in sync                 0.9 s
= web5   1 in sync · 1 skipped                   0.9 s
~ web6   2 to change · 1 in sync                 0.9 s
! web7   unreachable                             9.9 s
~ web8   2 to change · 1 in sync                 0.9 s
~ web9   2 to change · 1 in sync                 0.9 s
= web10  1 in sync · 1 skipped                   0.9 s
~ web11  2 to change · 1 in sync                 1.0 s
~ web12  2 to change · 1 in sync                 1.0 s
~ web13  2 to change · 1 in sync · 1 unmanaged   1.0 s
~ web14  2 to change · 1 in sync                 1.0 s
~ web15  2 to change · 1 in sync                 1.0 s
~ web16  2 to change · 1 in sync                 1.0 s
~ web17  2 to change · 1 in sync                 1.0 s
~ web18  2 to change · 1 in sync                 1.0 s
~ web19  2 to change · 1 in sync                 1.0 s
~ web20  2 to change · 1 in sync                 1.0 s

20 hosts: 16 to change, 3 in sync, 1 unreachable · 10.1 s

Run `bedplate apply` to make these changes.
Fix the cause above, then run `bedplate check` again.
"#,
    );
}
