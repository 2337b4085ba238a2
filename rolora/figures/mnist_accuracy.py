"""Test accuracy of the two-layer network over rounds at 5 and 10 label-split clients."""

from typing import Any

from rolora.figures import Budget, Drawing, Table, figure, look, mean, number, select
from rolora.plotting import network

CLIENTS = (5, 10)
METHODS = ("ffa", "fedavg", "flexlora", "rolora")


def data(budget: Budget) -> Table:
    """Mean and 95 % interval over seeds at every tracked round, each method at its best rate."""
    rows: list[dict[str, Any]] = []
    for clients in CLIENTS:
        config = network.configuration(budget, clients)
        for method, found in network.sweeps(budget, config, METHODS).items():
            cell = {"dataset": config.dataset, "clients": clients, "method": method}
            cell["learning_rate"] = found.rates[found.best()]
            for place, seen in zip(found.rounds, found.curve(), strict=True):
                rows.append({**cell, "round": place, **mean(seen, "accuracy"), "n": len(seen)})
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    ends = {
        (n, m): select(table, clients=n, method=m)["accuracy"][-1] for n in CLIENTS for m in METHODS
    }
    listed = "; ".join(
        f"{n} clients: "
        + ", ".join(f"{look.LABELS[m]} {number(ends[n, m], 3)}" for m in METHODS[::-1])
        for n in CLIENTS
    )
    leads = [n for n in CLIENTS if ends[n, "rolora"] > ends[n, "fedavg"]]
    surprise = (
        "RoLoRA leads at both. "
        if len(leads) == 2
        else "Unlike in the paper, FedAvg-LoRA is not behind RoLoRA "
        f"{'here' if not leads else 'at one of them'}: it moves both factors in every round, at "
        f"twice the traffic, and with {network.LOCAL_STEPS} local steps that outweighs its "
        "interference; the figure on traffic compares them at equal traffic. "
    )
    first = select(table, clients=CLIENTS[0], method="rolora")
    many = select(table, clients=CLIENTS[-1])
    wide = many["high"] - many["low"]
    return (
        f"Test accuracy of the two-layer network on {first['dataset'][0]}, clients split by label, "
        f"{network.LOCAL_STEPS} local steps of SGD a round; mean and 95 % band over n = "
        f"{int(first['n'][0])} seeds, each method at its own best learning rate of the same grid, "
        f"chosen on other seeds. After {int(first['round'][-1])} rounds: {listed}. {surprise}FFA-LoRA's "
        f"frozen random A holds it back at both. With {CLIENTS[-1]} clients, one label each, the "
        f"early rounds are "
        f"unsteady (the widest band spans {number(wide.max(), 2)}, at round "
        f"{int(many['round'][wide.argmax()])}): the learning rate is the one that ends best, and "
        "at that rate the first averages over clients that know one label each still swing."
    )


@figure(
    "mnist-accuracy", "Accuracy of the two-layer network at 5 and 10 clients",
    data=data, caption=caption, order=80,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """One panel per number of clients."""
    panels = drawing.subplots(1, 2, sharey=True)
    for axes, clients, letter in zip(panels, CLIENTS, "ab", strict=True):
        for method in METHODS:
            rows = select(table, clients=clients, method=method)
            style = look.of_method(method)
            look.band(axes, rows, "round", style)
            axes.plot(rows["round"], rows["accuracy"], **style.line())
        labels = f"{10 // clients} label{'s' * (clients < 10)} each"
        axes.set(xlabel="round", title=f"({letter}) {clients} clients, {labels}")
    n = int(table.columns["n"][0])
    panels[0].set(ylabel=f"test accuracy (n = {n} seeds)", ylim=(0.0, 1.0))
    panels[0].legend(loc="lower right")
