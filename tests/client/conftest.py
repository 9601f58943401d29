from tests.server.conftest import model_path as model_path
