"""The Policy Agent: owns policies, modes and administration, and judges nothing."""
