//! Journal tail to fold to Parquet: the converter, the only producer of Parquet.
