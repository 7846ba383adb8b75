"""Looks after the caches as no command of the clients does: the requests themselves, and the client of the older routes
that Glance brings along for its glance-cache-manage."""
import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from calls import answers, call, connect
import glance.image_cache.client

FILES, URL = sys.argv[1], sys.argv[2]
ONE, TWO, THREE, FOUR, NONE = ("91111111-2222-4333-8444-00000000000%s" % n for n in "1234f")
PATIENCE = 60
QUEUED, EMPTY = {"cached": [], "queued": [ONE]}, {"cached": [], "queued": []}

owner, other, admin = connect("demo1-member", "demo1"), connect("demo2-member", "demo2"), connect("admin", "admin")
address = urllib.parse.urlsplit(URL)
old = glance.image_cache.client.CacheClient(
    address.hostname, address.port, auth_token=admin.auth_token, configure_via_auth=False)
old_of_member = glance.image_cache.client.CacheClient(
    address.hostname, address.port, auth_token=owner.auth_token, configure_via_auth=False)


def send(who, method, path, **named):
    """The status of an answer, what else may be asked for where this may not, and JSON that is no error."""
    response = who.session.request(
        URL + path, method, authenticated=True, raise_exc=False, redirect=False, **named)
    answer = {"status": response.status_code}
    if "Allow" in response.headers:
        answer["allow"] = sorted(response.headers["Allow"].replace(",", " ").split())
    if response.ok:
        answer["type"] = response.headers.get("Content-Type", "").split(";")[0] if response.content else ""
        answer["body"] = response.json() if "json" in answer["type"] else len(response.content)
    return answer


def kept(images):
    """Images that are in a cache, in the order of their ids: with times that are times, and without the number and the
    checksum that only a newer Glance tells."""
    for image in sorted(images, key=lambda image: image["image_id"]):
        times = [image.pop("last_accessed"), image.pop("last_modified")]
        assert all(isinstance(t, float) and abs(time.time() - t) < 600 for t in times), times
        yield {name: value for name, value in image.items() if name not in ("id", "checksum")}


def state():
    """What is in the cache and in the queue."""
    body = send(admin, "GET", "/v2/cache")["body"]
    return {"cached": list(kept(body.pop("cached_images"))), "queued": body.pop("queued_images"), **body}


def when(wanted):
    """The state, once it is such; Glance fetches in the background as we do, and counts when it has sent the last byte."""
    end = time.monotonic() + PATIENCE
    while not wanted(now := state()) and time.monotonic() < end:
        time.sleep(0.1)
    return now


def hits(count, image=ONE):
    """When an image is in the cache, and was read from there so often."""
    return when(lambda now: not now["queued"] and any(
        (one["image_id"], one["hits"]) == (image, count) for one in now["cached"]))


def then(*steps):
    """The answers of calls, and the state they leave."""
    return [step() for step in steps] + [state()]


def asks(who, method, path, **named):
    """A call for later."""
    return lambda: send(who, method, path, **named)


for image, name in ((ONE, "cache-one"), (TWO, "cache-two"), (THREE, "cache-three")):
    owner.image.create_image(
        name, id=image, disk_format="raw", container_format="bare", filename=os.path.join(FILES, "disk.raw"))
owner.image.create_image("cache-four", id=FOUR, disk_format="raw", container_format="bare", allow_duplicates=True)
clear = asks(admin, "DELETE", "/v2/cache")
queue = asks(admin, "PUT", "/v2/cache/" + ONE)
drop = asks(admin, "DELETE", "/v2/cache/" + ONE)
download = asks(owner, "GET", "/v2/images/%s/file" % ONE)


def targeted(target, who=admin):
    """Clears a part of it."""
    return asks(who, "DELETE", "/v2/cache", headers={"x-image-cache-clear-target": target})


# Who may, and what may be asked.
call("nothing yet", then, clear)
call("a member's list", send, owner, "GET", "/v2/cache")
call("a member's queueing", send, owner, "PUT", "/v2/cache/" + ONE)
call("another's queueing", send, other, "PUT", "/v2/cache/" + ONE)
call("a member's deleting", send, owner, "DELETE", "/v2/cache/" + ONE)
call("another's deleting", send, other, "DELETE", "/v2/cache/" + ONE)
call("a member's clearing", send, owner, "DELETE", "/v2/cache")
call("a member's clearing of what there is not", targeted("nonsense", owner))
call("clearing of what there is not", targeted("nonsense"))
call("clearing in capitals", targeted("QUEUE"))
call("a list with a body", send, admin, "GET", "/v2/cache", json={})
call("a clearing with a body", send, admin, "DELETE", "/v2/cache", json={},
     differs="Glance falls over it", ours='"status": 400')
for method, path in (
        ("POST", "/v2/cache"), ("PUT", "/v2/cache"), ("PATCH", "/v2/cache"), ("GET", "/v2/cache/" + ONE),
        ("POST", "/v2/cache/" + ONE), ("PATCH", "/v2/cache/" + ONE), ("GET", "/v2/cache/" + ONE + "/more")):
    call("%s %s" % (method, path), send, admin, method, path)
for image, name in ((FOUR, "an image without data"), (NONE, "no image"), ("nonsense", "no id")):
    call("queueing of " + name, send, admin, "PUT", "/v2/cache/" + image)
    call("deleting of " + name, send, admin, "DELETE", "/v2/cache/" + image)

# The queue. Glance leaves what the older route queued to its prefetcher, another program, which does not run here; and
# here it waits for some seconds.
call("old: queue", then, lambda: old.queue_image_for_caching(ONE))
call("old: queue again", then, lambda: old.queue_image_for_caching(ONE))
call("old: what is queued", old.get_queued_images)
call("old: what is cached", lambda: list(kept(old.get_cached_images())))
call("only the cache is cleared", then, targeted("cache"))
call("the queue is cleared", then, targeted("queue"))
call("old: queue, and delete", then, lambda: old.queue_image_for_caching(ONE), drop, drop)
call("old: queue, and delete the old way", then, lambda: old.queue_image_for_caching(ONE),
     lambda: old.delete_cached_image(ONE), state, lambda: old.delete_queued_image(ONE),
     lambda: old.delete_queued_image(ONE))
call("old: queue, and clear", then, lambda: old.queue_image_for_caching(ONE), clear)
call("old: queue, and clear the old way", then, lambda: old.queue_image_for_caching(ONE),
     lambda: old.delete_all_cached_images(), state, lambda: old.delete_all_queued_images(),
     lambda: old.delete_all_queued_images())
call("old: requests", then, *(asks(admin, method, "/v2/" + path) for method, path in (
    ("PUT", "queued_images/" + ONE), ("DELETE", "queued_images/" + ONE), ("DELETE", "cached_images/" + ONE),
    ("DELETE", "queued_images"), ("GET", "queued_images"), ("DELETE", "cached_images"), ("GET", "cached_images"))))
for name, ask in (
        ("list of the cache", old_of_member.get_cached_images), ("list of the queue", old_of_member.get_queued_images),
        ("queueing", lambda: old_of_member.queue_image_for_caching(ONE)),
        ("deleting", lambda: old_of_member.delete_cached_image(ONE)),
        ("deleting from the queue", lambda: old_of_member.delete_queued_image(ONE)),
        ("clearing", old_of_member.delete_all_cached_images), ("emptying", old_of_member.delete_all_queued_images)):
    call("old: a member's " + name, ask)
call("old: queueing of no image", old.queue_image_for_caching, NONE,
     differs="Glance puts anything into its queue, from which this would never go", ours="NotFound")
call("old: queueing of an image without data", old.queue_image_for_caching, FOUR,
     differs="Glance puts anything into its queue, from which this would never go", ours="Invalid")
call("nothing of that is in the queue here", then, clear)
call("old: deleting of no image", old.delete_cached_image, NONE)
call("old: deleting of no image from the queue", old.delete_queued_image, NONE)

# The cache.
call("queue", queue)
call("queued is cached", hits, 0)
call("queue what is cached", then, queue)
call("old: queue what is cached", then, lambda: old.queue_image_for_caching(ONE))
call("download what is cached", download)
call("one hit", hits, 1)
call("another download", lambda: send(admin, "GET", "/v2/images/%s/file" % ONE))
call("two hits", hits, 2)
call("a part of it", lambda: send(
    owner, "GET", "/v2/images/%s/file" % ONE, headers={"Range": "bytes=0-99"})["status"])
call("only the queue is cleared", then, targeted("queue"),
     differs="Glance goes past its cache for a part of an image, so this was no hit there", ours='"hits": 3')
call("the cache is cleared", then, targeted("cache"))
call("a part of what is not cached", lambda: then(
    asks(owner, "GET", "/v2/images/%s/file" % ONE, headers={"Range": "bytes=0-99"}))[1:])
call("nor stays what was read of it", then, drop)
call("download", download)
call("downloaded is cached", hits, 0)
call("delete, twice", then, drop, drop)
call("download for the older routes", download)
call("old: downloaded is cached", lambda: hits(0) and list(kept(old.get_cached_images())))
call("old: delete", then, lambda: old.delete_cached_image(ONE), lambda: old.delete_cached_image(ONE))
call("download once more", download)
call("is cached once more", hits, 0)
call("old: clear", then, old.delete_all_cached_images, old.delete_all_cached_images)

# What becomes of images.
call("download before it is deactivated", download)
call("is cached when it is deactivated", hits, 0)
owner.image.deactivate_image(ONE)
call("download what is deactivated", download)
call("an administrator's download", lambda: send(admin, "GET", "/v2/images/%s/file" % ONE))
call("queue what is deactivated", queue)
call("delete what is deactivated", then, drop)
call("another downloads what is not his", send, other, "GET", "/v2/images/%s/file" % TWO)
call("download what is deleted later", send, owner, "GET", "/v2/images/%s/file" % TWO)
call("is cached when it is deleted", hits, 0, TWO)
call("another deletes what is cached and not his", send, other, "DELETE", "/v2/cache/" + TWO,
     differs="by its 403 Glance tells what is in its cache to who may not know of the image", ours='"status": 404')
owner.image.delete_image(TWO)
call("a deleted image is not in the cache", state)
call("delete what is no more", then, asks(admin, "DELETE", "/v2/cache/" + TWO))
call("queue what is no more", send, admin, "PUT", "/v2/cache/" + TWO)
old.queue_image_for_caching(THREE)
owner.image.delete_image(THREE)
call("a deleted image is not in the queue", state,
     differs="Glance leaves it there, until its prefetcher fails to fetch it", ours='"queued": []')
call("clear what is left", then, clear)
for image in (ONE, FOUR):
    owner.image.delete_image(image)
print(json.dumps(answers))
