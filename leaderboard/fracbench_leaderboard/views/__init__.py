"""The pages: each reads, filters and draws. Not in a folder ``pages``, whose files Streamlit would serve by itself."""
