import CKernels

extension Tape {
  /// Cuts images into patches, row-major, each flattened as (channel, row, column). Has no gradient: images are data.
  ///
  /// - Parameters: images: `[B, channels, H, W]`; patch: height and width, which must divide H and W.
  /// - Returns: `[B · (H / height) · (W / width), channels · height · width]`.
  package func patches(_ images: Tensor, patch: (height: Int, width: Int)) -> Tensor {
    let (batch, channels, height, width) = (images.shape[0], images.shape[1], images.shape[2], images.shape[3])
    precondition(height % patch.height == 0 && width % patch.width == 0, "patches: \(images.shape) in \(patch)")
    let (rows, columns) = (height / patch.height, width / patch.width)
    let size = channels * patch.height * patch.width
    let y = Tensor(uninitialized: [batch * rows * columns, size])
    timed("patches") {
      let (pi, py) = (images.pointer, y.pointer)
      engine.pool.run(batch) { b, _ in
        for row in 0..<rows {
          for column in 0..<columns {
            var out = py + (b * rows * columns + row * columns + column) * size
            for c in 0..<channels {
              for i in 0..<patch.height {
                let line = ((b * channels + c) * height + row * patch.height + i) * width + column * patch.width
                out.update(from: pi + line, count: patch.width)
                out += patch.width
              }
            }
          }
        }
      }
    }
    return y
  }

  /// Adds one row a position, the same for every sequence; prepends a class token where one is given.
  ///
  /// - Parameters:
  ///   - x: `[B · N, d]`.
  ///   - positions: `[T, d]`, T = N, or N + 1 with a class token.
  ///   - classToken: `[d]`.
  /// - Returns: `[B · T, d]`.
  package func addPositions(
    _ x: Tensor, positions: Parameter, classToken: Parameter? = nil
  ) -> Tensor {
    let (positions, classToken) = (read(positions), read(classToken))
    let (d, sequence) = (x.columns, positions.shape[0])
    let extra = classToken == nil ? 0 : 1
    let own = sequence - extra
    precondition(x.rows % own == 0, "addPositions: \(x.shape), \(positions.shape)")
    let batch = x.rows / own
    let y = Tensor(uninitialized: [batch * sequence, d])
    timed("positions") {
      let (px, py, pp) = (x.pointer, y.pointer, positions.value.pointer)
      let pc = classToken?.value.pointer
      engine.pool.run(batch) { b, _ in
        let out = py + b * sequence * d
        if let pc { mmoe_sum(out, pc, pp, d) }
        mmoe_sum(out + extra * d, px + b * own * d, pp + extra * d, own * d)
      }
    }
    let slot = x.slot
    record("positions", y) { [self] dY in
      let pd = dY.pointer
      if let dP = positions.gradientTarget() {
        engine.forRowTiles(sequence * d, target: 2048) { r, _, _ in
          mmoe_column_sums(
            dP.pointer + r.lowerBound, pd + r.lowerBound, batch, r.count, sequence * d,
            dP.beta == 0 ? 0 : 1)
        }
      }
      if let dC = classToken?.gradientTarget() {
        mmoe_column_sums(dC.pointer, pd, batch, d, sequence * d, dC.beta == 0 ? 0 : 1)
      }
      if extra == 0 {
        accumulate(dY, into: slot)
      } else if slot.isNeeded {
        let dX = Tensor(uninitialized: slot.shape)
        let px = dX.pointer
        engine.pool.run(batch) { b, _ in
          (px + b * own * d).update(from: pd + (b * sequence + extra) * d, count: own * d)
        }
        accumulate(dX, into: slot)
      }
    }
    return y
  }

  /// One row a sequence: the mean over its tokens, or the first token.
  ///
  /// - Parameters: x: `[B · T, d]`; sequence: T.
  /// - Returns: `[B, d]`.
  package func pool(_ x: Tensor, sequence: Int, mean: Bool) -> Tensor {
    let (d, batch) = (x.columns, x.rows / sequence)
    let y = Tensor(uninitialized: [batch, d])
    timed("pool") {
      let (px, py) = (x.pointer, y.pointer)
      engine.pool.run(batch) { b, _ in
        if mean {
          mmoe_column_sums(py + b * d, px + b * sequence * d, sequence, d, d, 0)
          mmoe_scale(py + b * d, py + b * d, 1 / Float(sequence), d)
        } else {
          (py + b * d).update(from: px + b * sequence * d, count: d)
        }
      }
    }
    let slot = x.slot
    record("pool", y) { [self] dY in
      let dX = Tensor(uninitialized: slot.shape)
      let (px, pd) = (dX.pointer, dY.pointer)
      engine.pool.run(batch) { b, _ in
        for t in 0..<sequence {
          let row = px + (b * sequence + t) * d
          if mean {
            mmoe_scale(row, pd + b * d, 1 / Float(sequence), d)
          } else if t == 0 {
            row.update(from: pd + b * d, count: d)
          } else {
            row.update(repeating: 0, count: d)
          }
        }
      }
      accumulate(dX, into: slot)
    }
    return y
  }
}
