"""What runs the app on a developer's machine; never deployed."""
