"""Calls every method of the OpenStack SDK's image proxy, as users of two projects, and prints what each answered."""
import io
import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from calls import answers, call, connect

FILES = sys.argv[1]
WEB = sys.argv[2]
ONE, TWO, THREE = ("81111111-2222-4333-8444-00000000000%d" % n for n in (1, 2, 3))

owner, other, admin = connect("demo1-member", "demo1"), connect("demo2-member", "demo2"), connect("admin", "admin")
mine, theirs, all_of_it = owner.image, other.image, admin.image
project = other.current_project_id


def described(schema):
    """The names of what a schema describes; of a list, in one of it."""
    properties = schema.properties
    for name in ("images", "members", "tasks"):
        properties = properties[name]["items"]["properties"] if name in properties else properties
    return sorted(properties)


for schema in ("image", "images", "member", "members", "task", "tasks"):
    call("schema of " + schema, lambda: described(getattr(mine, "get_%s_schema" % schema)()))
call("import info", mine.get_import_info)
call("stores", lambda: list(mine.stores()))

call("create", mine.create_image, name="sdk-one", id=ONE, disk_format="raw", container_format="bare",
     filename=os.path.join(FILES, "disk.raw"), tags=["a", "b"], meta={"os_distro": "debian"}, min_disk=1)
call("create the same again", mine.create_image, name="sdk-one", id=ONE, disk_format="raw", container_format="bare",
     filename=os.path.join(FILES, "disk.raw"))
call("create without data", mine.create_image, name="sdk-two", id=TWO, disk_format="qcow2", container_format="bare",
     allow_duplicates=True)
call("get", mine.get_image, ONE)
call("get what is not there", mine.get_image, "81111111-2222-4333-8444-00000000ffff")
call("get what is not mine", theirs.get_image, ONE)
call("find", mine.find_image, "sdk-one")
call("find what is not there", mine.find_image, "sdk-none")
call("list", lambda: list(mine.images(sort="name:asc", owner=owner.current_project_id)))
call("list by filters", lambda: list(mine.images(name="sdk-one", visibility="shared", tag="a", status="active")))
call("list in pages", lambda: [image.name for image in mine.images(limit=1, sort="name:asc")])
call("list by a strange sort", lambda: list(mine.images(sort_key="nonsense")))
call("list what is hidden", lambda: list(mine.images(is_hidden=True)))
call("list of another project", lambda: list(theirs.images()))
call("update", mine.update_image, TWO, name="sdk-zwei", min_ram=64, os_version="12", is_hidden=False)
call("update what may not be", mine.update_image, TWO, visibility="public")
call("update to nonsense", mine.update_image, TWO, min_ram=-1)
call("update properties", mine.update_image_properties, TWO, sort="of", min_disk=2)
call("add tag", mine.add_tag, TWO, "green")
call("add tag of words", mine.add_tag, TWO, "dark green")
call("remove tag", mine.remove_tag, TWO, "green")
call("remove it again", mine.remove_tag, TWO, "green")
call("download", lambda: mine.download_image(ONE).content)
call("download as a stream", lambda: b"".join(mine.download_image(ONE, stream=True).iter_content(65536)))
call("download nothing", mine.download_image, TWO)

two = mine.get_image(TWO)
call("stage", mine.stage_image, two, data=open(os.path.join(FILES, "disk.qcow2"), "rb").read())
call("staged", mine.get_image, TWO)
call("import to nowhere", mine.import_image, two, method="glance-direct", store="nowhere")
call("import", mine.import_image, two, method="glance-direct")
call("imported", lambda: mine.wait_for_status(mine.get_image(TWO), "active", interval=0.2, wait=30))
call("import again", mine.import_image, mine.get_image(TWO), method="glance-direct")
call("create by a web download", mine.create_image, name="sdk-three", id=THREE, disk_format="qcow2",
     container_format="bare", allow_duplicates=True)
call("download from the web", mine.import_image, mine.get_image(THREE), method="web-download", uri=WEB + "disk.qcow2")
call("downloaded", lambda: mine.wait_for_status(mine.get_image(THREE), "active", interval=0.2, wait=30))
call("copy as a member", mine.import_image, mine.get_image(THREE), method="copy-image", stores=["cheap"])
call("copy", all_of_it.import_image, mine.get_image(THREE), method="copy-image", all_stores=True,
     all_stores_must_succeed=True)
call("upload", mine.upload_image, name="sdk-four", disk_format="raw", container_format="bare", data=b"four")

call("deactivate", mine.deactivate_image, ONE)
call("deactivated", mine.get_image, ONE)
call("download deactivated", lambda: mine.download_image(ONE).content)
call("reactivate", mine.reactivate_image, ONE)
call("reactivate another's", theirs.reactivate_image, ONE)

call("members", lambda: list(mine.members(ONE)))
call("add member", mine.add_member, ONE, member_id=project)
call("add member again", mine.add_member, ONE, member_id=project)
call("member", mine.get_member, project, ONE)
call("find member", mine.find_member, project, ONE)
call("find no member", mine.find_member, "nobody", ONE)
call("accept for them", mine.update_member, project, ONE, status="accepted")
call("accept", theirs.update_member, project, ONE, status="accepted")
call("accept nonsense", theirs.update_member, project, ONE, status="nonsense")
call("list of what is shared", lambda: list(theirs.images(visibility="shared")),
     differs="Glance shows an image's locations to who may not see them by its own policy", ours="\"locations\": []")
call("remove myself", theirs.remove_member, project, ONE)
call("remove member", mine.remove_member, project, ONE)
call("remove member again", mine.remove_member, project, ONE, ignore_missing=False)

call("tasks", lambda: [task.type for task in mine.tasks()])
call("task", mine.get_task, "81111111-2222-4333-8444-00000000ffff")
call("create task", mine.create_task, type="import",
     input={"import_from": "http://x/y", "import_from_format": "raw", "image_properties": {}})

call("cloud: list", lambda: sorted(image.name for image in owner.list_images()))
call("cloud: list with members' images", lambda: sorted(image.name for image in owner.list_images(show_all=True)))
call("cloud: search", lambda: [image.id for image in owner.search_images("sdk-one")])
call("cloud: get", lambda: owner.get_image("sdk-one").status)
call("cloud: get by id", lambda: owner.get_image_by_id(ONE).status)
call("cloud: exclude", lambda: owner.get_image_id("sdk", "one"))
call("cloud: download", lambda: owner.download_image("sdk-one", output_file=io.BytesIO()))
call("cloud: update", lambda: owner.update_image_properties(name_or_id=ONE, os_distro="arch"))
call("cloud: updated", lambda: mine.get_image(ONE).os_distro)
call("cloud: wait", lambda: owner.wait_for_image(mine.get_image(ONE)).status)
call("cloud: create", lambda: owner.create_image(
    "sdk-five", filename=os.path.join(FILES, "disk.qcow2"), disk_format="qcow2", container_format="bare", wait=True,
    some="thing").status)
call("cloud: delete", lambda: owner.delete_image("sdk-five", wait=True))

call("delete another's", theirs.delete_image, ONE, ignore_missing=False)
for image in list(mine.images(owner=owner.current_project_id)):
    call("delete " + image.name, mine.delete_image, image.id)
call("delete what is gone", mine.delete_image, ONE, ignore_missing=False)
call("get what is gone", mine.get_image, ONE)
call("nothing is left", lambda: list(mine.images(owner=owner.current_project_id)))
print(json.dumps(answers))
