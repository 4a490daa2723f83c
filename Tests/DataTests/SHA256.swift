/// FIPS 180-4, for comparing decoded pictures with published digests.
enum SHA256 {
  private static let constants: [UInt32] = {
    // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    var primes: [Int] = []
    var candidate = 2
    while primes.count < 64 {
      if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
      candidate += 1
    }
    return primes.map { prime in
      // floor(cbrt(prime) · 2^32) by bisection in exact integers.
      var low: UInt64 = 0
      var high: UInt64 = 8 << 32
      while high - low > 1 {
        let middle = (low + high) / 2
        let square = middle.multipliedFullWidth(by: middle)
        // middle³ < prime · 2^96, compared through the upper words.
        let root = Double(middle) / 0x1p32
        let cube = root * root * root
        if abs(cube - Double(prime)) > 1e-6 {
          if cube < Double(prime) { low = middle } else { high = middle }
        } else {
          let lower = square.low.multipliedFullWidth(by: middle)
          let upper = square.high.multipliedFullWidth(by: middle)
          let (sum, carry) = upper.low.addingReportingOverflow(lower.high)
          let top = upper.high + (carry ? 1 : 0)
          let isBelow = top == 0 ? sum < UInt64(prime) << 32 : false
          if isBelow { low = middle } else { high = middle }
        }
      }
      return UInt32(truncatingIfNeeded: low)
    }
  }()
}
