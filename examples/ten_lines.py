"""Learn the digits two classes at a time, and see what was kept: the demo, as a program."""

from holdfast import Training, recipes, run, stream

digits = stream.make_stream(stream.source("digits"), tasks=5)
method = recipes.make("fnc2", tau=0.5)
training = Training(epochs=10, first_epochs=20, batch=64, lr=0.005)

result = run(method, digits, training)

print(f"Class-IL {result.class_il.final:.3f}  Task-IL {result.task_il.final:.3f}")
print(f"forgetting {result.class_il.forgetting:.3f}")
print(result.protocol, result.holdings)
