//! The hook that has Kamal ask bedplate before it deploys. It is a file of the operator's own machine; hosts never see it.

/// Where it goes below Kamal's folder of hooks. `pre-connect` is the one hook that runs before the deploy lock is taken: a gate
/// behind it would find Kamal's own lock (lib/kamal/cli/base.rb, 2.12).
pub const NAME: &str = "pre-connect";

/// Kamal's folder of hooks where deploy.yml names none.
pub const FOLDER: &str = ".kamal/hooks";

/// The hook. Kamal tells it its command and destination in the environment (lib/kamal/tags.rb).
pub const TEXT: &str = r#"#!/bin/sh
# Kamal runs this before it connects to a host for the first time. A deploy to a host that is not ready for it ends here,
# with what is amiss and what to do.

# Releasing a lock, looking at logs or rolling back must work on a host that is not as it should be.
case ${KAMAL_COMMAND-} in
	setup | deploy | redeploy) ;;
	*) exit 0 ;;
esac

if ! command -v bedplate >/dev/null; then
	echo "bedplate is not installed here: install it, or remove this hook ($0)" >&2
	exit 1
fi

bedplate ready ${KAMAL_DESTINATION:+--destination "$KAMAL_DESTINATION"} </dev/null
"#;

#[cfg(test)]
mod tests {
    #[test]
    fn it_names_no_folder_of_any_one_machine() {
        assert!(super::TEXT.starts_with("#!/bin/sh\n") && !super::TEXT.contains("/home/"));
    }
}
