"""What the pages tell people to type, where no other test does it."""
import json
import re

from minio import MinioAdmin
from minio.credentials import StaticProvider

from conftest import ROOT, Stack, example


def test_the_policy_of_the_page_is_enough(minio):
    page = (ROOT / "lib/store/MINIO.md").read_text()
    policy = json.loads(re.search(r"```json\n(.*?)```", page, re.S)[1])
    admin = MinioAdmin(endpoint=minio.host, credentials=StaticProvider(minio.access, minio.secret), secure=False)
    admin.user_add("azlonapp", "azlonapp-secret")
    admin.policy_add("azlon-page", policy=policy)
    admin.policy_set("azlon-page", user="azlonapp")
    s = Stack(MINIO_ENDPOINT=minio.host, MINIO_ROOT_USER="azlonapp", MINIO_ROOT_PASSWORD="azlonapp-secret")
    try:
        s.start()
        wid = s.start_run(example("human-eval-127"))
        assert s.finish(wid)["status"] == "succeeded"
        path = s.get(f"/files/{wid}").json()["files"][0]["path"]
        assert s.get(f"/files/{wid}/{path}").status_code == 200
        assert s.request("DELETE", f"/files/{wid}").status_code in (200, 204)
    finally:
        s.close()
        admin.user_remove("azlonapp")
