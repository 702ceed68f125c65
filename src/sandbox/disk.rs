//! Disks for boxes: files behind loop devices, which a box can partition, format and mount as a provider's volume.

use std::fs::File;

use super::command::run;
use super::error::{Doing as _, Error, Result};
use super::registry::{self, Disk};
use super::{Sandbox, image};

impl Sandbox {
    /// Gives the box an empty disk of `size_mib` MiB and returns its path inside, such as `/dev/loop3`. With `by_id`
    /// it also has that name below `/dev/disk/by-id`. It survives reboots, and is removed with the box.
    ///
    /// Errors: no loop device is free, or the box does not run.
    pub fn attach_disk(&mut self, size_mib: u64, by_id: Option<&str>) -> Result<String> {
        let path = self.record.place.join(format!("disk{}", self.record.disks.len() + 1));
        File::create_new(&path)
            .and_then(|file| file.set_len(size_mib * 1024 * 1024))
            .doing(|| format!("can not make {}", path.display()))?;
        let lock = registry::lock()?;
        let device = run(&["losetup", "--find", "--show", &path.to_string_lossy()])?.trim().to_owned();
        self.record.disks.push(Disk { device: device.clone(), by_id: by_id.map(str::to_owned) });
        self.record.save(&lock)?;
        drop(lock);
        let mut lines = String::new();
        for disk in &self.record.disks {
            let minor = disk.device.strip_prefix("/dev/loop").ok_or_else(|| Error::Tool {
                command: "losetup --find --show".to_owned(),
                said: format!("`{}` is not a loop device", disk.device),
            })?;
            lines += &format!("{} {} {minor}\n", disk.by_id.as_deref().unwrap_or("-"), disk.device);
        }
        image::put(&self.record.root(), "usr/lib/bedplate-sandbox/disks", &lines)?;
        // The same script that makes the nodes at boot.
        self.ask(&["sh", "/usr/lib/bedplate-sandbox/early.sh", "disks"])?;
        Ok(device)
    }
}
