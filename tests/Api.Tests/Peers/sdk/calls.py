"""What the scripts beside this file share: users of the services, and a list of what came of each call."""
import hashlib
import os

import openstack


def connect(user, project):
    return openstack.connect(
        auth_url=os.environ["OS_AUTH_URL"], username=user, password=os.environ["OS_PASSWORD"], project_name=project,
        user_domain_id="default", project_domain_id="default", region_name=os.environ["OS_REGION_NAME"],
        load_envvars=False, load_yaml_config=False)


def plain(value):
    """A value as JSON has it, without where the SDK got it from."""
    if isinstance(value, openstack.resource.Resource):
        value = value.to_dict()
        value.pop("location", None)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if hasattr(value, "__next__") or isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"status": value.status_code} if hasattr(value, "status_code") else type(value).__name__


answers = []


def call(name, method, /, *positional, differs=None, ours=None, **named):
    """Calls a method, and notes what came of it. Where the services differ on purpose, differs says why, and ours has
    some of the registry's answer."""
    noted = {"call": name}
    if differs:
        noted.update(differs=differs, ours=ours)
    try:
        noted["answer"] = plain(method(*positional, **named))
    except openstack.exceptions.HttpException as refused:
        noted.update(status=refused.status_code)  # each service says it in its own words
    except Exception as failed:
        noted.update(error=type(failed).__name__)
    answers.append(noted)
