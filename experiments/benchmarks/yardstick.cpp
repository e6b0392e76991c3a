// How fast can one core train the models of `scratchpad`? A limit, not a product: `main` alone, with the defaults.
//
// Lanes lie along a vector. A hidden layer is never stored: unit after unit, all rows pass through registers, forward
// and again backward, and Adam follows at once. What a block of lanes keeps are its parameters and their moments.

#include <cmath>
#include <cstring>

#ifdef __AVX512F__
constexpr int WIDTH = 16;
#else
constexpr int WIDTH = 8;
#endif
typedef float lanes __attribute__((vector_size(WIDTH * 4)));
typedef int whole __attribute__((vector_size(WIDTH * 4)));

constexpr int UNITS = 32, ROWS = 32, ASKED = 8, SEEN = 5, HEARD = 4;
constexpr float FIRST = 0.9f, SECOND = 0.99f, EPSILON = 1e-8f;

struct Data {  // weights sum to 1; bit is a, q the context of a row; rows of problems, and of what the receiver is asked
    float rows[ROWS][SEEN], asked[ASKED][HEARD], weights[ROWS], bit[ROWS];
    int context[ROWS];
    float preference, rate;
};

struct Model {  // of a sender and a receiver
    lanes seen[UNITS][SEEN], seen_bias[UNITS], symbol[UNITS][2], symbol_bias[2];
    lanes heard[UNITS][HEARD], heard_bias[UNITS], answer[UNITS], answer_bias;
};

static inline lanes exponential(lanes x) {
    x = x < -87.0f ? lanes{} - 87.0f : x;
    x = x > 87.0f ? lanes{} + 87.0f : x;
    whole power = __builtin_convertvector(x * 1.44269504f + (x < 0 ? lanes{} - 0.5f : lanes{} + 0.5f), whole);
    lanes n = __builtin_convertvector(power, lanes), r = x - n * 0.693359375f + n * 2.12194440e-4f;
    lanes sum = ((((1.9875691e-4f * r + 1.3981999e-3f) * r + 8.3334519e-3f) * r + 4.1665796e-2f) * r + 1.6666665e-1f) * r;
    return ((sum + 0.5f) * r * r + r + 1.0f) * (lanes)((power + 127) << 23);
}

static inline lanes sigmoid(lanes x) { return 1.0f / (1.0f + exponential(-x)); }

static inline lanes softplus(lanes x) {  // max(x, 0) + 2 artanh(e / (2 + e)), e = exp(-|x|)
    lanes small = exponential(x > 0 ? -x : x), argument = small / (2.0f + small), square = argument * argument;
    lanes series = lanes{} + 1 / 15.0f;
    for (int power = 13; power > 0; power -= 2) series = series * square + 1.0f / power;
    return (x > 0 ? x : lanes{}) + 2.0f * argument * series;
}

struct Adam {
    float rate, of_mean, of_square;  // the last two undo the bias of the moments
    inline void operator()(lanes &value, lanes &mean, lanes &square, lanes slope) const {
        mean = FIRST * mean + (1 - FIRST) * slope;
        square = SECOND * square + (1 - SECOND) * slope * slope;
        lanes root = square * of_square;
        for (int lane = 0; lane < WIDTH; lane++) root[lane] = __builtin_sqrtf(root[lane]);
        value -= rate * (mean * of_mean) / (root + EPSILON);
    }
};

template <int INPUTS>
static inline lanes unit(const lanes *kernel, lanes bias, const float *row) {
    for (int input = 0; input < INPUTS; input++) bias += kernel[input] * row[input];
    return bias > 0 ? bias : lanes{};
}

static lanes step(const Data &data, Model &model, Model &mean, Model &square, const Adam &adam, bool change) {
    lanes gap[ROWS], answer[ASKED], slope[ROWS], pull[ASKED], joint[2][2][2] = {}, cost[2][2][2], loss = {};
    for (lanes &value : gap) value = model.symbol_bias[1] - model.symbol_bias[0];
    for (lanes &value : answer) value = model.answer_bias;
    for (int u = 0; u < UNITS; u++) {
        lanes difference = model.symbol[u][1] - model.symbol[u][0];
        for (int r = 0; r < ROWS; r++)
            gap[r] += difference * unit<SEEN>(model.seen[u], model.seen_bias[u], data.rows[r]);
        for (int r = 0; r < ASKED; r++)
            answer[r] += model.answer[u] * unit<HEARD>(model.heard[u], model.heard_bias[u], data.asked[r]);
    }
    for (int a = 0; a < 2; a++)
        for (int s = 0; s < 2; s++)
            for (int q = 0; q < 2; q++)  // asked rows are symbol, b, context; a and b are -1 at index 0
                cost[a][s][q] = (softplus(a ? answer[4 * s + q] : -answer[4 * s + q]) +
                                 softplus(a ? -answer[4 * s + 2 + q] : answer[4 * s + 2 + q])) / 2;
    lanes symbol_slope = {};
    for (int r = 0; r < ROWS; r++) {
        int a = data.bit[r] > 0, q = data.context[r];
        float weight = data.weights[r], lure = data.preference * (a ? 1 : -1);  // symbol 0 is true of a = +1
        lanes one = sigmoid(gap[r]), none = 1.0f - one;
        joint[a][0][q] += weight * none;
        joint[a][1][q] += weight * one;
        loss += weight * (none * cost[a][0][q] + one * cost[a][1][q] + data.preference * (a ? one : none));
        slope[r] = weight * one * none * (cost[a][1][q] - cost[a][0][q] + lure);
        symbol_slope += slope[r];
    }
    if (!change) return loss;
    lanes answer_slope = {};
    for (int s = 0; s < 2; s++)
        for (int b = 0; b < 2; b++)
            for (int q = 0; q < 2; q++) {
                int r = 4 * s + 2 * b + q;
                lanes likely = sigmoid(answer[r]);  // of the answer +1, right where a b is +1
                lanes up = joint[b][s][q] * (likely - 1.0f), down = joint[1 - b][s][q] * likely;
                pull[r] = (up + down) / 2;
                answer_slope += pull[r];
            }
    for (int u = 0; u < UNITS; u++) {
        lanes kernel[SEEN] = {}, bias = {}, out = {}, difference = model.symbol[u][1] - model.symbol[u][0];
        for (int r = 0; r < ROWS; r++) {
            lanes hidden = unit<SEEN>(model.seen[u], model.seen_bias[u], data.rows[r]);
            lanes back = hidden > 0 ? difference * slope[r] : lanes{};
            out += hidden * slope[r];
            bias += back;
            for (int i = 0; i < SEEN; i++) kernel[i] += back * data.rows[r][i];
        }
        for (int i = 0; i < SEEN; i++) adam(model.seen[u][i], mean.seen[u][i], square.seen[u][i], kernel[i]);
        adam(model.seen_bias[u], mean.seen_bias[u], square.seen_bias[u], bias);
        adam(model.symbol[u][0], mean.symbol[u][0], square.symbol[u][0], -out);
        adam(model.symbol[u][1], mean.symbol[u][1], square.symbol[u][1], out);
        lanes heard[HEARD] = {}, heard_bias = {}, said = {};
        for (int r = 0; r < ASKED; r++) {
            lanes hidden = unit<HEARD>(model.heard[u], model.heard_bias[u], data.asked[r]);
            lanes back = hidden > 0 ? model.answer[u] * pull[r] : lanes{};
            said += hidden * pull[r];
            heard_bias += back;
            for (int i = 0; i < HEARD; i++) heard[i] += back * data.asked[r][i];
        }
        for (int i = 0; i < HEARD; i++) adam(model.heard[u][i], mean.heard[u][i], square.heard[u][i], heard[i]);
        adam(model.heard_bias[u], mean.heard_bias[u], square.heard_bias[u], heard_bias);
        adam(model.answer[u], mean.answer[u], square.answer[u], said);
    }
    adam(model.symbol_bias[0], mean.symbol_bias[0], square.symbol_bias[0], -symbol_slope);
    adam(model.symbol_bias[1], mean.symbol_bias[1], square.symbol_bias[1], symbol_slope);
    adam(model.answer_bias, mean.answer_bias, square.answer_bias, answer_slope);
    return loss;
}

extern "C" int width() { return WIDTH; }

// Train a block of lanes and return their loss afterwards.
extern "C" void train(const Data *data, Model *model, int steps, float *loss) {
    static thread_local Model mean, square;
    mean = square = Model{};
    for (int index = 1; index <= steps; index++)
        step(*data, *model, mean, square,
             {data->rate, 1 / (1 - powf(FIRST, index)), 1 / (1 - powf(SECOND, index))}, true);
    lanes after = step(*data, *model, mean, square, {}, false);
    memcpy(loss, &after, sizeof after);
}
