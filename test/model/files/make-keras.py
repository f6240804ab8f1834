# How keras-3.keras, keras-3.h5 and keras-3.json were made: Keras 3.15.1 on jax, `python make-keras.py`.
import json
import os

os.environ['KERAS_BACKEND'] = 'jax'
import keras
import numpy as np
from keras import layers

random = np.random.default_rng(7)
bars = layers.Input((5, 2), name='bars')
x = layers.LSTM(4, name='lower', return_sequences=True)(bars)
x = layers.LSTM(3, name='upper', use_bias=False)(x)
x = layers.Dropout(0.25)(x)
x = layers.Dense(3, activation='relu', name='hidden')(x)
x = layers.Flatten()(x)
answer = layers.Dense(2, name='answer', use_bias=False)(x)
model = keras.Model(bars, answer)
for weight in model.weights:
    if 'seed' not in weight.path:
        weight.assign(random.normal(0, 0.6, weight.shape))
for extension in ('keras', 'h5'):
    model.save(f'keras-3.{extension}')
x = random.normal(0, 1, (8, 5, 2)).astype('float32')
y = np.asarray(model(x))
with open('keras-3.json', 'w') as file:
    json.dump({'shape': x.shape, 'x': x.ravel().tolist(), 'y': y.ravel().tolist()}, file)
