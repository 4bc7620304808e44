"use strict";
// Runs programs that genzoo.parts.browser exports: tensors with a batch of one, in plain JavaScript.
async function genzooUnpack(packed) {
  // Base64 → zlib → bytes sorted by place → float16 and float32 numbers.
  const text = atob(packed.data);
  const raw = new Uint8Array(text.length);
  for (let i = 0; i < raw.length; i++) raw[i] = text.charCodeAt(i);
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const { halves, singles } = packed;
  const half = new Float32Array(halves);
  for (let i = 0; i < halves; i++) {
    const bits = bytes[i] | (bytes[halves + i] << 8);
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    half[i] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }
  const single = new Float32Array(singles);
  const view = new Uint8Array(single.buffer);
  for (let i = 0; i < singles; i++)
    for (let j = 0; j < 4; j++) view[4 * i + j] = bytes[2 * halves + j * singles + i];
  return ([exact, start, length]) => (exact ? single : half).subarray(start, start + length);
}

async function genzooPrograms(packed) {
  // name → function of arrays that returns arrays; beside them .check(), the largest error over the cases.
  const numbers = await genzooUnpack(packed);
  const programs = {};
  for (const [name, program] of Object.entries(packed.programs)) programs[name] = genzooCompile(program, numbers);
  programs.check = () => {
    let worst = 0;
    for (const item of packed.cases) {
      const made = programs[item.program](...item.inputs.map(numbers));
      item.outputs.forEach((place, k) => {
        const expected = numbers(place);
        for (let i = 0; i < expected.length; i++) {
          const apart = Math.abs(made[k][i] - expected[i]) / Math.max(1, Math.abs(expected[i]));
          if (!(apart <= worst)) worst = apart;
        }
      });
    }
    return worst;
  };
  return programs;
}

function genzooCompile(program, numbers) {
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  const shapes = program.shapes;
  const values = shapes.map(() => null);
  for (const [number, place] of Object.entries(program.constants)) values[number] = numbers(place);
  const steps = program.ops.map((op) => {
    const out = op.op === "reshape" ? null : new Float32Array(size(shapes[op.out]));
    const ins = op.in.map((number) => shapes[number]);
    const run = genzooOps[op.op](op, ins, shapes[op.out]);
    return () => {
      values[op.out] = out === null ? values[op.in[0]] : (run(out, ...op.in.map((number) => values[number])), out);
    };
  });
  return (...inputs) => {
    program.inputs.forEach((number, i) => (values[number] = inputs[i]));
    for (const step of steps) step();
    return program.outputs.map((number) => values[number]);
  };
}

const genzooOps = (() => {
  const erf = (x) => {
    // Series below 3, and 1 less a continued fraction above: double precision but for the last digits.
    const a = Math.abs(x);
    if (a > 6) return Math.sign(x);
    if (a < 3) {
      let term = a, sum = a;
      for (let n = 1; n < 60 && Math.abs(term) > 1e-17; n++) { term *= (-a * a) / n; sum += term / (2 * n + 1); }
      return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
    }
    let tail = a;
    for (let n = 40; n > 0; n--) tail = a + n / 2 / tail;
    return Math.sign(x) * (1 - Math.exp(-a * a) / tail / Math.sqrt(Math.PI));
  };
  const dot = (a, i, b, j, count) => {
    let p = 0, q = 0, r = 0, s = 0, k = 0;
    for (; k + 3 < count; k += 4) {
      p += a[i + k] * b[j + k];
      q += a[i + k + 1] * b[j + k + 1];
      r += a[i + k + 2] * b[j + k + 2];
      s += a[i + k + 3] * b[j + k + 3];
    }
    for (; k < count; k++) p += a[i + k] * b[j + k];
    return p + q + (r + s);
  };
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const each = (f) => (op) => (out, x) => { for (let i = 0; i < out.length; i++) out[i] = f(x[i], op); };
  const strides = (shape) => {
    const found = new Array(shape.length).fill(1);
    for (let i = shape.length - 2; i >= 0; i--) found[i] = found[i + 1] * shape[i + 1];
    return found;
  };
  // Where each element of an output lies in an input whose dimensions move by `steps`.
  const places = (shape, steps, start = 0) => {
    const total = shape.reduce((a, b) => a * b, 1), found = new Int32Array(total);
    const at = new Array(shape.length).fill(0);
    for (let i = 0, place = start; i < total; i++) {
      found[i] = place;
      for (let d = shape.length - 1; d >= 0; d--) {
        place += steps[d];
        if (++at[d] < shape[d]) break;
        place -= steps[d] * shape[d];
        at[d] = 0;
      }
    }
    return found;
  };
  const spread = (from, to) => {
    const own = strides(from), lead = to.length - from.length;
    return to.map((_, d) => (d < lead || from[d - lead] === 1 ? 0 : own[d - lead]));
  };
  const pair = (f) => (op, [a, b], shape) => {
    const left = places(shape, spread(a, shape)), right = places(shape, spread(b, shape));
    return (out, x, y) => { for (let i = 0; i < out.length; i++) out[i] = f(x[left[i]], y[right[i]]); };
  };
  const take = (index) => (out, x) => { for (let i = 0; i < out.length; i++) out[i] = x[index[i]]; };
  const windows = (begin, again) => (op, [[, , height, width]], [n, channels, rows, columns]) => (out, x) => {
    const [kh, kw] = op.kernel, [sh, sw] = op.stride, [ph, pw] = op.padding;
    let o = 0;
    for (let c = 0; c < n * channels; c++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let value = begin, count = 0;
          for (let a = 0; a < kh; a++)
            for (let b = 0; b < kw; b++) {
              const y = i * sh - ph + a, z = j * sw - pw + b;
              if (y < 0 || z < 0 || y >= height || z >= width) continue;
              value = again(value, x[(c * height + y) * width + z]);
              count++;
            }
          out[o++] = begin === 0 ? value / (op.inside ? count : kh * kw) : value;
        }
  };
  const reduce = (mean) => (op, [shape], outShape) => {
    const kept = shape.map((size, d) => (op.axes.includes(d) ? 1 : size));
    const index = places(shape, spread(kept, shape));
    return (out, x) => {
      const sums = new Float64Array(out.length);
      for (let i = 0; i < x.length; i++) sums[index[i]] += x[i];
      for (let i = 0; i < out.length; i++) out[i] = mean ? (sums[i] * out.length) / x.length : sums[i];
    };
  };
  return {
    relu: each((x) => (x > 0 ? x : 0)),
    sigmoid: each(sigmoid),
    tanh: each(Math.tanh),
    exp: each(Math.exp),
    log: each(Math.log),
    sqrt: each(Math.sqrt),
    rsqrt: each((x) => 1 / Math.sqrt(x)),
    square: each((x) => x * x),
    neg: each((x) => -x),
    abs: each(Math.abs),
    floor: each(Math.floor),
    reciprocal: each((x) => 1 / x),
    erf: each(erf),
    silu: each((x) => x * sigmoid(x)),
    gelu: each((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2))),
    gelu_tanh: each((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
    leaky_relu: each((x, op) => (x > 0 ? x : op.slope * x)),
    elu: each((x, op) => (x > 0 ? x : op.alpha * Math.expm1(x))),
    softplus: each((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
    add: pair((a, b) => a + b),
    sub: pair((a, b) => a - b),
    mul: pair((a, b) => a * b),
    div: pair((a, b) => a / b),
    maximum: pair(Math.max),
    minimum: pair(Math.min),
    pow: pair((a, b) => a ** b),
    eq: pair((a, b) => +(a === b)),
    ne: pair((a, b) => +(a !== b)),
    gt: pair((a, b) => +(a > b)),
    lt: pair((a, b) => +(a < b)),
    ge: pair((a, b) => +(a >= b)),
    le: pair((a, b) => +(a <= b)),
    where: (op, ins, shape) => {
      const [test, yes, no] = ins.map((from) => places(shape, spread(from, shape)));
      return (out, c, a, b) => { for (let i = 0; i < out.length; i++) out[i] = c[test[i]] ? a[yes[i]] : b[no[i]]; };
    },
    reshape: () => null,
    permute: (op, [shape], out) => take(places(out, op.order.map((axis) => strides(shape)[axis]))),
    expand: (op, [shape], out) => take(places(out, spread(shape, out))),
    slice: (op, [shape], out) => {
      const steps = strides(shape), start = op.start * steps[op.axis];
      steps[op.axis] *= op.step;
      return take(places(out, steps, start));
    },
    cat: (op, shapes, out) => (result, ...parts) => {
      const inner = strides(out)[op.axis], whole = out[op.axis] * inner;
      let offset = 0;
      parts.forEach((part, k) => {
        const piece = shapes[k][op.axis] * inner;
        for (let i = 0, row = offset; i < part.length; i += piece, row += whole) result.set(part.subarray(i, i + piece), row);
        offset += piece;
      });
    },
    linear: (op, [, [outputs, inputs]]) => (out, x, weight, bias) => {
      for (let row = 0, o = 0; o < out.length; row += inputs)
        for (let k = 0, w = 0; k < outputs; k++, o++) {
          out[o] = (bias ? bias[k] : 0) + dot(weight, w, x, row, inputs);
          w += inputs;
        }
    },
    matmul: (op, [a, b], shape) => {
      const [rows, columns] = shape.slice(-2), inner = a[a.length - 1], lead = shape.slice(0, -2);
      const left = places(lead, spread(a.slice(0, -2), lead)), right = places(lead, spread(b.slice(0, -2), lead));
      return (out, x, y) => {
        for (let m = 0, o = 0; m < left.length; m++)
          for (let i = 0; i < rows; i++)
            for (let j = 0; j < columns; j++, o++) {
              let sum = 0;
              for (let k = 0; k < inner; k++)
                sum += x[(left[m] * rows + i) * inner + k] * y[(right[m] * inner + k) * columns + j];
              out[o] = sum;
            }
      };
    },
    conv: (op, [[n, channels, height, width], [outputs, own, kh, kw]], [, , rows, columns]) => {
      const [sh, sw] = op.stride, [ph, pw] = op.padding, [dh, dw] = op.dilation, group = outputs / op.groups;
      const taps = own * kh * kw, patches = new Float32Array(rows * columns * taps);
      return (out, x, weight, bias) => {
        for (let image = 0; image < n; image++)
          for (let g = 0; g < op.groups; g++) {
            const from = (image * channels + g * own) * height * width;
            for (let i = 0, p = 0; i < rows; i++)
              for (let j = 0; j < columns; j++)
                for (let c = 0; c < own; c++)
                  for (let a = 0; a < kh; a++) {
                    const y = i * sh - ph + a * dh, line = from + (c * height + y) * width;
                    for (let b = 0, z = j * sw - pw; b < kw; b++, z += dw)
                      patches[p++] = y < 0 || y >= height || z < 0 || z >= width ? 0 : x[line + z];
                  }
            for (let k = g * group; k < (g + 1) * group; k++) {
              const to = (image * outputs + k) * rows * columns, start = bias ? bias[k] : 0;
              for (let q = 0; q < rows * columns; q++) out[to + q] = start + dot(weight, k * taps, patches, q * taps, taps);
            }
          }
      };
    },
    conv_transpose: (op, [[n, channels, height, width], [, own, kh, kw]], [, outputs, rows, columns]) => {
      const [sh, sw] = op.stride, [ph, pw] = op.padding, [dh, dw] = op.dilation, each = channels / op.groups;
      const taps = own * kh * kw, area = height * width, turned = new Float32Array(area * each);
      let sorted = null, of = null;
      return (out, x, weight, bias) => {
        if (of !== weight) {
          // The channels of a tap side by side, once: then every product below is of two runs of numbers.
          of = weight;
          sorted = new Float32Array(weight.length);
          for (let c = 0; c < channels; c++)
            for (let t = 0; t < taps; t++) sorted[(Math.floor(c / each) * taps + t) * each + (c % each)] = weight[c * taps + t];
        }
        for (let image = 0; image < n; image++) {
          for (let k = 0; k < outputs; k++) {
            const to = (image * outputs + k) * rows * columns;
            out.fill(bias ? bias[k] : 0, to, to + rows * columns);
          }
          for (let g = 0; g < op.groups; g++) {
            for (let c = 0; c < each; c++) {
              const from = (image * channels + g * each + c) * area;
              for (let q = 0; q < area; q++) turned[q * each + c] = x[from + q];
            }
            for (let k = 0, t = g * taps; k < own; k++) {
              const to = (image * outputs + g * own + k) * rows * columns;
              for (let a = 0; a < kh; a++)
                for (let b = 0; b < kw; b++, t++)
                  for (let i = 0; i < height; i++) {
                    const y = i * sh - ph + a * dh;
                    if (y < 0 || y >= rows) continue;
                    for (let j = 0, z = b * dw - pw; j < width; j++, z += sw)
                      if (z >= 0 && z < columns)
                        out[to + y * columns + z] += dot(sorted, t * each, turned, (i * width + j) * each, each);
                  }
            }
          }
        }
      };
    },
    normalise: (op) => (out, x) => {
      const count = x.length / op.rows;
      for (let start = 0; start < x.length; start += count) {
        let mean = 0, variance = 0;
        for (let i = start; i < start + count; i++) mean += x[i] / count;
        for (let i = start; i < start + count; i++) variance += (x[i] - mean) ** 2 / count;
        const scale = 1 / Math.sqrt(variance + op.eps);
        for (let i = start; i < start + count; i++) out[i] = (x[i] - mean) * scale;
      }
    },
    softmax: (op, [shape]) => (out, x) => {
      const count = shape[shape.length - 1];
      for (let start = 0; start < x.length; start += count) {
        let most = -Infinity, sum = 0;
        for (let i = start; i < start + count; i++) most = Math.max(most, x[i]);
        for (let i = start; i < start + count; i++) sum += Math.exp(x[i] - most);
        for (let i = start; i < start + count; i++) out[i] = Math.exp(x[i] - most) / sum;
      }
    },
    nearest: (op, [[n, channels, height, width]], [, , rows, columns]) => (out, x) => {
      let o = 0;
      for (let c = 0; c < n * channels; c++)
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++)
            out[o++] = x[(c * height + Math.floor((i * height) / rows)) * width + Math.floor((j * width) / columns)];
    },
    bilinear: (op, [[n, channels, height, width]], [, , rows, columns]) => {
      const between = (to, from) => Array.from({ length: to }, (_, i) => {
        const at = op.corners ? (to > 1 ? (i * (from - 1)) / (to - 1) : 0) : Math.max(0, ((i + 0.5) * from) / to - 0.5);
        const low = Math.min(from - 1, Math.floor(at));
        return [low, Math.min(from - 1, low + 1), at - low];
      });
      const down = between(rows, height), across = between(columns, width);
      return (out, x) => {
        let o = 0;
        for (let c = 0; c < n * channels; c++)
          for (const [top, bottom, v] of down)
            for (const [left, right, u] of across) {
              const at = (y, z) => x[(c * height + y) * width + z];
              const upper = at(top, left) * (1 - u) + at(top, right) * u;
              out[o++] = upper * (1 - v) + (at(bottom, left) * (1 - u) + at(bottom, right) * u) * v;
            }
      };
    },
    avg_pool: windows(0, (a, b) => a + b),
    max_pool: windows(-Infinity, Math.max),
    mean: reduce(true),
    sum: reduce(false),
    embedding: (op, [[, width]]) => (out, table, index) => {
      for (let i = 0; i < index.length; i++) out.set(table.subarray(index[i] * width, (index[i] + 1) * width), i * width);
    },
  };
})();
