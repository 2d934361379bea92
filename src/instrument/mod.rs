//! Registry: venue symbol to dense id, exponents, life-cycle.
