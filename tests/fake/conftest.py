import pytest
from certctl import FakeCertctl
from certctl_client import Client
from certctl_state import FakeState
from certctl_tls import Material


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def big():
    """Not to be changed: tests that do so make their own."""
    return FakeState()


@pytest.fixture
def fake_of(material):
    """A fake of a state, and a client of it with the viewer's key."""
    made = []

    def make(state):
        fake = FakeCertctl(state=state, material=material)
        client = Client(fake.port, fake.ca_file, fake.keys.secret("viewer"))
        made.append((fake, client))
        return fake, client

    yield make
    for fake, client in made:
        client.close()
        fake.__exit__()


@pytest.fixture
def pair(fake_of):
    return fake_of(FakeState(certificates=332, agents=12, jobs=60))
