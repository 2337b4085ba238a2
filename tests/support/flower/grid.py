"""SuperNodes in this process: a Flower grid that hands each message to the client app and keeps its reply."""

import uuid
from pathlib import Path

from flwr.app import Context, Error, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.common.config import get_project_config
from flwr.supercore.task_identity import TaskIdentity

ROOT = Path(__file__).resolve().parents[3]
TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1


def run_config(**told):
    """The app's run config, with some of it told otherwise."""
    config = dict(get_project_config(ROOT)["tool"]["flwr"]["app"]["config"])
    told = {name.replace("_", "-"): value for name, value in told.items()}
    assert told.keys() <= config.keys()
    return config | {"wait": 2, "patience": 30} | told


class Grid:
    """Nodes by number; `changes` says what becomes of a reply, `gone` which nodes have left."""

    def __init__(self, app, configs, run, change=None):
        self.app, self.change, self.gone = app, change, set()
        self.contexts = {
            node: Context(1, node, dict(config), RecordDict(), dict(run))
            for node, config in configs.items()
        }
        self.replies, self.asked = {}, []

    def get_node_ids(self):
        return [node for node in self.contexts if node not in self.gone]

    def push_messages(self, messages):
        numbers = []
        for message in messages:
            number = str(uuid.uuid4())
            message.metadata.__dict__["_message_id"] = number
            numbers.append(number)
            node = message.metadata.dst_node_id
            self.asked.append((message.metadata.message_type, node, message.content))
            if node in self.gone:
                continue
            try:
                reply = self.app(message, self.contexts[node])
            except Exception as error:  # noqa: BLE001 # as Flower's client process does
                reason = f"{type(error)}:<'{error}'>"
                reply = FlowerMessage(Error(code=1, reason=reason), reply_to=message)
            if self.change is not None:
                reply = self.change(node, message, reply)
            if reply is not None:
                self.replies[number] = reply
        return numbers

    def pull_messages(self, numbers):
        return [self.replies.pop(n) for n in sorted(numbers) if n in self.replies]


def nodes(count):
    """Node configs of so many SuperNodes; their numbers fall as their partitions rise."""
    return {
        900 - 7 * place: {"partition-id": place, "num-partitions": count} for place in range(count)
    }
