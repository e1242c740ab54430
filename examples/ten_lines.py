"""Learn the digits two classes at a time, and see what was kept: the demo, as a program."""

from holdfast import Setup, recipes, run, stream

digits = stream.make_stream(stream.digits(), tasks=5)
method = recipes.make("fnc2", tau=0.5)
setup = Setup.of("fnc2", "quick")

result = run(method, digits, setup)

print(f"Class-IL {result.class_il.final:.3f}  Task-IL {result.task_il.final:.3f}")
print(f"forgetting {result.class_il.forgetting:.3f}")
print(result.protocol, result.holdings)
