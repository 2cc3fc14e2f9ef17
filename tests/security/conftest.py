from rig_fixtures import certificates, make_rig  # noqa: F401
