"""The ways to a person: the one-time page, the graphical browser, the terminal.

Always: what others wrote (an agent, a project's file, a path) is shown as text, stripped of what could disguise it;
what the person enters goes to whoever asked and nowhere else. Faces import the modules; they import only the ground.
"""
