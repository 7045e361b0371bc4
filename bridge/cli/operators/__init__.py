"""The commands of operators: pause, resume, retry, skip, audit."""
