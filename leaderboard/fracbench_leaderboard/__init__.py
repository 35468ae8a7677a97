"""The Streamlit leaderboard: reads result files, never torch."""
