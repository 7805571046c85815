"""The replicas of one workload: its floor under an autoscaler, or its count where there is none."""
